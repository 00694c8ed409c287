//! Drawing into a picture of 4:2:0 planes: gradients, smooth-edged shapes, text.
//!
//! Coordinates are in pixels of the luma plane. What lies outside is left out.

use super::font;

/// A colour in 8-bit RGB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// Limited range Y'CbCr of ITU-R BT.709.
    fn to_ycbcr(self) -> [f32; 3] {
        let [r, g, b] = [self.0, self.1, self.2].map(|v| f32::from(v) / 255.0);
        let y = 0.2126 * r + 0.7152 * g + 0.0722 * b;
        [
            16.0 + 219.0 * y,
            128.0 + 224.0 * (b - y) / 1.8556,
            128.0 + 224.0 * (r - y) / 1.5748,
        ]
    }

    /// The colour a part `t` (0 to 1) of the way to `other`.
    pub fn mix(self, other: Rgb, t: f32) -> Rgb {
        let part = |a: u8, b: u8| (f32::from(a) + (f32::from(b) - f32::from(a)) * t) as u8;
        Rgb(
            part(self.0, other.0),
            part(self.1, other.1),
            part(self.2, other.2),
        )
    }
}

/// One plane of samples, rows one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub samples: Vec<u8>,
}

impl Plane {
    fn new(width: usize, height: usize, value: u8) -> Plane {
        Plane {
            width,
            height,
            samples: vec![value; width * height],
        }
    }
}

/// A picture: luma, and two planes of chroma of half its width and height.
#[derive(Clone, Debug, PartialEq)]
pub struct Canvas {
    pub planes: [Plane; 3],
}

/// A figure, by its distance function: how far a point is outside (negative within), in pixels.
pub enum Shape<'a> {
    /// Centre and half-axes.
    Ellipse { x: f32, y: f32, rx: f32, ry: f32 },
    /// Left, top, right, bottom, and the corners' radius.
    Box {
        x0: f32,
        y0: f32,
        x1: f32,
        y1: f32,
        radius: f32,
    },
    /// Corners of a convex polygon, clockwise on the screen.
    Polygon(&'a [(f32, f32)]),
}

impl Shape<'_> {
    fn distance(&self, px: f32, py: f32) -> f32 {
        match *self {
            Shape::Ellipse { x, y, rx, ry } => {
                let (dx, dy) = ((px - x) / rx, (py - y) / ry);
                let r = (dx * dx + dy * dy).sqrt();
                // Exact on the edge, which is where it matters.
                let slope = ((dx / rx).powi(2) + (dy / ry).powi(2)).sqrt();
                if slope > 0.0 {
                    r * (r - 1.0) / slope
                } else {
                    -rx.min(ry)
                }
            }
            Shape::Box {
                x0,
                y0,
                x1,
                y1,
                radius,
            } => {
                let dx = (px - (x0 + x1) / 2.0).abs() - (x1 - x0) / 2.0 + radius;
                let dy = (py - (y0 + y1) / 2.0).abs() - (y1 - y0) / 2.0 + radius;
                let outside = dx.max(0.0).hypot(dy.max(0.0));
                outside + dx.max(dy).min(0.0) - radius
            }
            Shape::Polygon(corners) => {
                let next = corners.iter().cycle().skip(1);
                let sides = corners.iter().zip(next).map(|(a, b)| {
                    let (ex, ey) = (b.0 - a.0, b.1 - a.1);
                    ((px - a.0) * ey - (py - a.1) * ex) / ex.hypot(ey).max(1e-6)
                });
                sides.fold(f32::NEG_INFINITY, f32::max)
            }
        }
    }

    /// Left, top, right, bottom.
    fn bounds(&self) -> [f32; 4] {
        match *self {
            Shape::Ellipse { x, y, rx, ry } => [x - rx, y - ry, x + rx, y + ry],
            Shape::Box { x0, y0, x1, y1, .. } => [x0, y0, x1, y1],
            Shape::Polygon(corners) => corners.iter().fold(
                [
                    f32::INFINITY,
                    f32::INFINITY,
                    f32::NEG_INFINITY,
                    f32::NEG_INFINITY,
                ],
                |b, c| [b[0].min(c.0), b[1].min(c.1), b[2].max(c.0), b[3].max(c.1)],
            ),
        }
    }
}

impl Canvas {
    /// A black picture; both numbers are made even.
    pub fn new(width: usize, height: usize) -> Canvas {
        let (width, height) = (width.next_multiple_of(2), height.next_multiple_of(2));
        Canvas {
            planes: [
                Plane::new(width, height, 16),
                Plane::new(width / 2, height / 2, 128),
                Plane::new(width / 2, height / 2, 128),
            ],
        }
    }

    pub fn width(&self) -> usize {
        self.planes[0].width
    }

    pub fn height(&self) -> usize {
        self.planes[0].height
    }

    /// Fills rows `y0` to `y1` over the whole width, from one colour to the other.
    pub fn gradient(&mut self, y0: f32, y1: f32, from: Rgb, to: Rgb) {
        let (from, to) = (from.to_ycbcr(), to.to_ycbcr());
        for (i, plane) in self.planes.iter_mut().enumerate() {
            let scale = if i == 0 { 1.0 } else { 2.0 };
            for (row, samples) in plane.samples.chunks_mut(plane.width).enumerate() {
                let y = (row as f32 + 0.5) * scale;
                if y >= y0 && y < y1 {
                    let t = (y - y0) / (y1 - y0);
                    let value = from[i] + (to[i] - from[i]) * t;
                    // Two rounded values take turns, so that a slow gradient shows no steps.
                    for (column, s) in samples.iter_mut().enumerate() {
                        let dither = [0.125, 0.625, 0.875, 0.375][(row & 1) * 2 + (column & 1)];
                        *s = (value + dither) as u8;
                    }
                }
            }
        }
    }

    /// Fills a shape; `opacity` 0 to 1.
    pub fn fill(&mut self, shape: &Shape<'_>, color: Rgb, opacity: f32) {
        self.fill_soft(shape, color, opacity, 1.0);
    }

    /// Fills a shape whose edge fades over `softness` pixels.
    pub fn fill_soft(&mut self, shape: &Shape<'_>, color: Rgb, opacity: f32, softness: f32) {
        let color = color.to_ycbcr();
        let bounds = shape.bounds();
        for (i, plane) in self.planes.iter_mut().enumerate() {
            let scale = if i == 0 { 1.0 } else { 2.0 };
            let edge = softness.max(scale);
            let first = |b: f32| ((b - edge) / scale).max(0.0) as usize;
            let last = |b: f32, end: usize| (((b + edge) / scale + 1.0).max(0.0) as usize).min(end);
            let columns = first(bounds[0])..last(bounds[2], plane.width);
            for row in first(bounds[1])..last(bounds[3], plane.height) {
                let y = (row as f32 + 0.5) * scale;
                for column in columns.clone() {
                    let x = (column as f32 + 0.5) * scale;
                    let cover = (0.5 - shape.distance(x, y) / edge).clamp(0.0, 1.0) * opacity;
                    if cover > 0.0 {
                        let s = &mut plane.samples[row * plane.width + column];
                        let old = f32::from(*s);
                        *s = (old + (color[i] - old) * cover + 0.5) as u8;
                    }
                }
            }
        }
    }

    /// Draws text with its left upper corner at (`x`, `y`); each dot is `dot` pixels wide and high.
    pub fn text(&mut self, x: usize, y: usize, dot: usize, color: Rgb, text: &str) {
        let color = color.to_ycbcr();
        for (n, c) in text.chars().enumerate() {
            for (row, dots) in font::glyph(c).into_iter().enumerate() {
                for column in (0..5).filter(|column| dots >> (4 - column) & 1 == 1) {
                    let (x, y) = (x + (n * font::ADVANCE + column) * dot, y + row * dot);
                    self.block(x, y, dot, color);
                }
            }
        }
    }

    /// How wide and high [`Self::text`] draws, in pixels.
    pub fn text_size(dot: usize, text: &str) -> (usize, usize) {
        let advance = text.chars().count() * font::ADVANCE;
        (advance.saturating_sub(1) * dot, font::HEIGHT * dot)
    }

    fn block(&mut self, x: usize, y: usize, size: usize, color: [f32; 3]) {
        for (i, plane) in self.planes.iter_mut().enumerate() {
            let scale = if i == 0 { 1 } else { 2 };
            let (x1, y1) = ((x + size).div_ceil(scale), (y + size).div_ceil(scale));
            for row in y / scale..y1.min(plane.height) {
                let start = (row * plane.width + x / scale).min(plane.samples.len());
                let end = row * plane.width + x1.min(plane.width);
                if let Some(samples) = plane.samples.get_mut(start..end.max(start)) {
                    samples.fill(color[i] as u8);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_bt_709() {
        let round = |c: Rgb| c.to_ycbcr().map(|v| v.round() as u8);
        assert_eq!(round(Rgb(255, 255, 255)), [235, 128, 128]);
        assert_eq!(round(Rgb(0, 0, 0)), [16, 128, 128]);
        assert_eq!(round(Rgb(255, 0, 0)), [63, 102, 240]);
    }

    #[test]
    fn shapes_cover_their_area() {
        let corners = [(10.0, 10.0), (50.0, 10.0), (50.0, 40.0), (10.0, 40.0)];
        for (shape, area) in [
            (
                Shape::Ellipse {
                    x: 40.0,
                    y: 30.0,
                    rx: 20.0,
                    ry: 10.0,
                },
                628.3,
            ),
            (
                Shape::Box {
                    x0: 10.0,
                    y0: 10.0,
                    x1: 50.0,
                    y1: 40.0,
                    radius: 5.0,
                },
                1178.5,
            ),
            (Shape::Polygon(&corners), 1200.0),
        ] {
            let mut canvas = Canvas::new(80, 60);
            canvas.fill(&shape, Rgb(255, 255, 255), 1.0);
            let luma: f32 = canvas.planes[0]
                .samples
                .iter()
                .map(|s| (f32::from(*s) - 16.0) / 219.0)
                .sum();
            assert!((luma - area).abs() < area * 0.02, "{luma} of {area}");
        }
    }

    #[test]
    fn nothing_is_drawn_outside() {
        let mut canvas = Canvas::new(16, 16);
        let white = Rgb(255, 255, 255);
        canvas.text(1000, 1000, 4, white, "x");
        canvas.text(14, 14, 4, white, "8");
        let far = Shape::Ellipse {
            x: -500.0,
            y: 900.0,
            rx: 20.0,
            ry: 10.0,
        };
        canvas.fill(&far, white, 1.0);
        assert_eq!(canvas.planes[0].samples[..14 * 16], [16; 14 * 16]);
    }
}
