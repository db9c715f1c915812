//! The nearest valid word to a mistyped one: by optimal string alignment (G. Navarro, "A guided tour to approximate string
//! matching", 2001), ties to the first.

/// The candidate with the least distance to `word`; none where all are so far away that naming one would mislead.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        // Underscores for hyphens are the commonest slip and cost nothing; so does a word that continues the right one.
        let plain = strsim::osa_distance(&lower.replace('_', "-"), &candidate);
        if lower.starts_with(&candidate) || candidate.starts_with(&lower) { plain.min(2) } else { plain }
    };
    let best = candidates.into_iter().map(|candidate| (distance(candidate), candidate)).min_by_key(|best| best.0)?;
    let longest = word.chars().count().max(best.1.chars().count());
    (best.0 <= (longest / 2).max(2)).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood() {
        let keys = ["duration", "warmup", "mean-burst", "members"];
        assert_eq!(nearest("durration", keys), Some("duration"));
        assert_eq!(nearest("mean_burst", keys), Some("mean-burst"));
        assert_eq!(nearest("Warmup", keys), Some("warmup"));
        assert_eq!(nearest("member", keys), Some("members"));
        assert_eq!(nearest("xyzzy-quux-plugh", keys), None);
    }
}
