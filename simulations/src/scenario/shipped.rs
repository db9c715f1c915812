//! The scenarios that come with the program.

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

const SHIPPED: &[(&str, &str)] = scenarios![
    "smoke",
    "stage-talk",
    "evening-room",
    "big-interview",
    "world-event",
    "million",
    "flash-crowd",
    "churn-storm",
    "partition",
    "host-death",
    "mass-failure",
    "hostile-relays",
    "kicks",
    "lossy-mobile",
    "weak-uplinks",
    "targets",
    "lean-gossip",
    "reality",
];

/// Names and texts of the scenarios that come with the program.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    SHIPPED
}

/// The text of one.
pub(super) fn shipped_text(name: &str) -> Option<&'static str> {
    SHIPPED.iter().find(|of| of.0 == name).map(|of| of.1)
}
