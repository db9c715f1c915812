//! An invite as a QR code (ISO/IEC 18004): in a terminal, or as a picture in a file.
//!
//! An invite's text has only characters of the alphanumeric mode, 5.5 bits each. It is shown on screens and not on worn
//! stickers, so the lowest level of error correction keeps it small.

use std::path::Path;

use qrcode::{Color, EcLevel, QrCode};

use crate::failure::Failure;

/// Light modules around the code, as the standard wants.
const QUIET: usize = 4;
/// Pixels of one module's side in a picture.
const MODULE_PX: usize = 8;

/// A QR code: square, one bit a module.
#[derive(Clone, Debug)]
pub struct Qr {
    width: usize,
    dark: Vec<bool>,
}

impl Qr {
    /// The code of a text.
    ///
    /// # Errors
    /// [`Failure::Failed`] where the text is too long for any code, as no invite is.
    pub fn of(text: &str) -> Result<Self, Failure> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L)
            .map_err(|error| Failure::Failed(format!("the invite fits into no QR code ({error}): use its text")))?;
        let dark = code.to_colors().into_iter().map(|color| color == Color::Dark).collect();
        Ok(Qr { width: code.width(), dark })
    }

    /// Columns that it takes in a terminal; it takes half as many lines.
    pub fn columns(&self) -> usize {
        self.width + 2 * QUIET
    }

    /// Whether a module is dark; the quiet zone counts from the corner.
    fn is_dark(&self, x: usize, y: usize) -> bool {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < self.width);
        let (Some(x), Some(y)) = (inside(x), inside(y)) else { return false };
        self.dark.get(y * self.width + x).copied().unwrap_or(false)
    }

    /// The code in half blocks, two modules a character, black on white whatever the terminal's colours are.
    pub fn terminal(&self) -> String {
        let side = self.columns();
        let mut out = String::new();
        for y in (0..side).step_by(2) {
            out.push_str("\x1b[30;107m");
            out.extend((0..side).map(|x| match (self.is_dark(x, y), self.is_dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }));
            out.push_str("\x1b[0m\n");
        }
        out
    }

    fn svg(&self) -> String {
        let side = self.columns();
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\">\n\
             <rect width=\"{side}\" height=\"{side}\" fill=\"#fff\"/>\n<path fill=\"#000\" d=\""
        );
        for y in 0..side {
            for x in (0..side).filter(|x| self.is_dark(*x, y)) {
                out.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
        out.push_str("\"/>\n</svg>\n");
        out
    }

    /// Brightness of each pixel, row by row, and the picture's side.
    fn pixels(&self) -> (Vec<u8>, usize) {
        let side = self.columns() * MODULE_PX;
        let at = |n: usize| (n % side / MODULE_PX, n / side / MODULE_PX);
        let brightness = |(x, y)| if self.is_dark(x, y) { 0 } else { 255 };
        ((0..side * side).map(|n| brightness(at(n))).collect(), side)
    }

    fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let (pixels, side) = self.pixels();
        let side = u32::try_from(side).unwrap_or(u32::MAX);
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, side, side);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Whether a file's name says which picture it is; asked before an invite is made.
    ///
    /// # Errors
    /// [`Failure::Usage`] where it ends neither in `.png` nor in `.svg`.
    pub fn check_name(path: &Path) -> Result<(), Failure> {
        if matches!(extension(path).as_str(), "png" | "svg") { Ok(()) } else { Err(no_picture(path)) }
    }

    /// Writes a picture, a PNG or an SVG by the file's name. Its owner alone can read it.
    ///
    /// # Errors
    /// [`Failure::Usage`] where the name ends otherwise or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let bytes = match extension(path).as_str() {
            "svg" => self.svg().into_bytes(),
            "png" => self.png().map_err(|error| Failure::Failed(format!("cannot draw the QR code: {error}")))?,
            _ => return Err(no_picture(path)),
        };
        crate::private::write(path, &bytes).map_err(|error| {
            Failure::Usage(format!("cannot write the QR code to {}: {error}; name another file", path.display()))
        })
    }
}

fn extension(path: &Path) -> String {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// What is said of a name that is no picture's.
fn no_picture(path: &Path) -> Failure {
    Failure::Usage(format!("{} is no name for a QR code: let it end in .png or .svg", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "TREEHOUSE:ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    /// What a reader of QR codes sees in a grey picture.
    fn read(pixels: &[u8], side: usize) -> String {
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(side, side, |x, y| pixels[y * side + x]);
        let grids = picture.detect_grids();
        assert_eq!(grids.len(), 1, "one code");
        grids[0].decode().expect("it can be read").1
    }

    #[test]
    fn a_png_reads_back_as_the_text() {
        let folder = tempfile::tempdir().expect("a folder");
        for text in [TEXT.to_owned(), format!("TREEHOUSE:{}", "AB27".repeat(100))] {
            let path = folder.path().join("invite.PNG");
            Qr::of(&text).expect("it fits").write(&path).expect("a file");
            let file = std::io::BufReader::new(std::fs::File::open(&path).expect("the file"));
            let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
            let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
            let info = reader.next_frame(&mut pixels).expect("pixels");
            assert_eq!(read(&pixels, info.width as usize), text);
        }
    }

    #[test]
    fn what_a_terminal_shows_reads_back_as_the_text() {
        let qr = Qr::of(TEXT).expect("it fits");
        let shown = qr.terminal().replace("\x1b[30;107m", "").replace("\x1b[0m", "");
        let rows: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        assert!(rows.iter().all(|row| row.len() == qr.columns()));
        let side = qr.columns() * 4;
        let dark = |x: usize, y: usize| match rows[y / 2][x] {
            '█' => true,
            '▀' => y.is_multiple_of(2),
            '▄' => y % 2 == 1,
            _ => false,
        };
        let pixels: Vec<u8> =
            (0..side * side).map(|n| if dark(n % side / 4, n / side / 4) { 0 } else { 255 }).collect();
        assert_eq!(read(&pixels, side), TEXT);
    }

    #[test]
    fn an_svg_has_one_square_for_each_dark_module() {
        let qr = Qr::of(TEXT).expect("it fits");
        let dark = qr.dark.iter().filter(|dark| **dark).count();
        assert_eq!(qr.svg().matches("h1v1h-1z").count(), dark);
        assert!(qr.svg().starts_with("<svg ") && qr.svg().ends_with("</svg>\n"));
    }

    #[test]
    fn a_name_that_is_no_pictures_is_wrong_use() {
        let qr = Qr::of(TEXT).expect("it fits");
        for name in ["invite.gif", "invite", "no/such/folder/invite.svg"] {
            let Err(refused) = qr.write(Path::new(name)) else { panic!("a refusal") };
            assert_eq!(refused.exit_status(), 2, "{name}");
        }
    }
}
