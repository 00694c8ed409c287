//! What a simulated camera sees: a quiet place, something that moves, and the words a camera writes
//! over its picture: name, date and time, frame number.

use super::canvas::{Canvas, Rgb, Shape};
use crate::time::Wall90k;
use jiff::tz::TimeZone;

const WHITE: Rgb = Rgb(245, 245, 240);
const INK: Rgb = Rgb(12, 14, 22);
/// The height in units that scenes are laid out in; the width follows from the picture's.
const UNITS: f32 = 180.0;

/// The place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A house at dusk; a car goes by.
    Driveway,
    /// A garden by day; clouds pass and a bird flies about.
    Garden,
}

/// A place in the size of one stream.
#[derive(Clone, Debug)]
pub struct Scene {
    place: Place,
    name: String,
    zone: TimeZone,
    frame_rate: u32,
    /// What never changes, drawn once.
    background: Canvas,
    canvas: Canvas,
}

impl Scene {
    /// `width` and `height` in pixels; `zone` is the one of the clock in the picture.
    pub fn new(
        place: Place,
        name: &str,
        (width, height): (usize, usize),
        frame_rate: u32,
        zone: TimeZone,
    ) -> Scene {
        let mut background = Canvas::new(width, height);
        let mut pen = Pen::new(&mut background);
        match place {
            Place::Driveway => draw_driveway(&mut pen),
            Place::Garden => draw_garden(&mut pen),
        }
        Scene {
            place,
            name: name.to_owned(),
            zone,
            frame_rate,
            canvas: background.clone(),
            background,
        }
    }

    /// The picture of the moment `wall`.
    pub fn draw(&mut self, wall: Wall90k, frame_number: u64) -> &Canvas {
        for (to, from) in self.canvas.planes.iter_mut().zip(&self.background.planes) {
            to.samples.copy_from_slice(&from.samples);
        }
        // Seconds of the day: precise enough in an f32 after taking the remainder.
        let secs = wall.0.rem_euclid(86_400 * 90_000) as f64 / 90_000.0;
        let mut pen = Pen::new(&mut self.canvas);
        match self.place {
            Place::Driveway => draw_car(&mut pen, secs),
            Place::Garden => draw_sky_life(&mut pen, secs),
        }
        self.write(wall, frame_number);
        &self.canvas
    }

    /// The text, one line in each corner.
    fn write(&mut self, wall: Wall90k, frame_number: u64) {
        let (width, height) = (self.canvas.width(), self.canvas.height());
        let dot = (height / 180).max(1);
        let margin = dot * 5;
        let time = tell_time(wall, &self.zone);
        let number = format!("#{frame_number:07}");
        let format = format!("{width}x{height} {} fps", self.frame_rate);
        for (text, right, bottom) in [
            (self.name.as_str(), false, false),
            (&time, true, false),
            (&number, false, true),
            (&format, true, true),
        ] {
            let (w, h) = Canvas::text_size(dot, text);
            let x = if right {
                width.saturating_sub(w + margin)
            } else {
                margin
            };
            let y = if bottom {
                height.saturating_sub(h + margin)
            } else {
                margin
            };
            let pad = (dot * 2) as f32;
            let plate = Shape::Box {
                x0: x as f32 - pad,
                y0: y as f32 - pad,
                x1: (x + w) as f32 + pad,
                y1: (y + h) as f32 + pad,
                radius: pad,
            };
            self.canvas.fill(&plate, INK, 0.6);
            self.canvas.text(x, y, dot, WHITE, text);
        }
    }
}

/// `2026-11-22 10:00:00.25` in the zone.
fn tell_time(wall: Wall90k, zone: &TimeZone) -> String {
    let hundredths = wall.subsec_nanos() / 10_000_000;
    match jiff::Timestamp::from_second(wall.unix_secs()) {
        Ok(t) => format!(
            "{}.{hundredths:02}",
            t.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S")
        ),
        Err(_) => wall.to_string(),
    }
}

/// Draws in units of the picture's height / 180, so that both streams show the same.
struct Pen<'a> {
    canvas: &'a mut Canvas,
    scale: f32,
    /// The picture's width in units.
    width: f32,
}

impl Pen<'_> {
    fn new(canvas: &mut Canvas) -> Pen<'_> {
        let scale = canvas.height() as f32 / UNITS;
        let width = canvas.width() as f32 / scale;
        Pen {
            canvas,
            scale,
            width,
        }
    }

    fn gradient(&mut self, y0: f32, y1: f32, from: Rgb, to: Rgb) {
        self.canvas
            .gradient(y0 * self.scale, y1 * self.scale, from, to);
    }

    fn ellipse(&mut self, x: f32, y: f32, rx: f32, ry: f32, color: Rgb, opacity: f32) {
        self.glow((x, y, rx, ry), color, opacity, 0.0);
    }

    /// An ellipse whose edge fades over `softness` units.
    fn glow(
        &mut self,
        (x, y, rx, ry): (f32, f32, f32, f32),
        color: Rgb,
        opacity: f32,
        softness: f32,
    ) {
        let s = self.scale;
        let shape = Shape::Ellipse {
            x: x * s,
            y: y * s,
            rx: rx * s,
            ry: ry * s,
        };
        self.canvas
            .fill_soft(&shape, color, opacity, (softness * s).max(1.0));
    }

    fn block(&mut self, x0: f32, y0: f32, x1: f32, y1: f32, radius: f32, color: Rgb) {
        let s = self.scale;
        let shape = Shape::Box {
            x0: x0 * s,
            y0: y0 * s,
            x1: x1 * s,
            y1: y1 * s,
            radius: radius * s,
        };
        self.canvas.fill(&shape, color, 1.0);
    }

    fn polygon(&mut self, corners: &[(f32, f32)], color: Rgb, opacity: f32) {
        let corners: Vec<(f32, f32)> = corners
            .iter()
            .map(|(x, y)| (x * self.scale, y * self.scale))
            .collect();
        self.canvas.fill(&Shape::Polygon(&corners), color, opacity);
    }
}

fn draw_driveway(pen: &mut Pen<'_>) {
    let w = pen.width;
    pen.gradient(0.0, 60.0, Rgb(28, 36, 84), Rgb(134, 86, 130));
    pen.gradient(60.0, 104.0, Rgb(134, 86, 130), Rgb(250, 168, 104));
    for (x, y, r) in [
        (0.08, 44.0, 0.5),
        (0.17, 30.0, 0.7),
        (0.31, 38.0, 0.5),
        (0.43, 27.0, 0.8),
        (0.55, 47.0, 0.5),
        (0.71, 33.0, 0.6),
        (0.9, 52.0, 0.7),
    ] {
        pen.ellipse(w * x, y, r, r, Rgb(255, 246, 220), 0.85);
    }
    pen.glow((w * 0.2, 88.0, 34.0, 34.0), Rgb(255, 196, 120), 0.5, 60.0);
    pen.ellipse(w * 0.2, 88.0, 11.0, 11.0, Rgb(255, 226, 170), 1.0);
    pen.ellipse(w * 0.1, 112.0, 110.0, 24.0, Rgb(92, 66, 104), 1.0);
    pen.ellipse(w * 0.55, 114.0, 130.0, 22.0, Rgb(70, 56, 92), 1.0);
    pen.gradient(104.0, 140.0, Rgb(50, 74, 52), Rgb(64, 96, 56));
    draw_tree(pen, w * 0.1, 118.0, 1.15, Rgb(38, 62, 50));
    draw_tree(pen, w * 0.27, 113.0, 0.8, Rgb(46, 72, 56));
    draw_tree(pen, w * 0.94, 116.0, 1.1, Rgb(36, 58, 50));
    draw_house(pen, w * 0.44);
    // The street.
    pen.gradient(140.0, 144.0, Rgb(148, 140, 136), Rgb(120, 114, 112));
    pen.gradient(144.0, 180.0, Rgb(58, 58, 66), Rgb(44, 44, 52));
    let mut x = 4.0;
    while x < w {
        pen.polygon(
            &[
                (x + 1.5, 160.0),
                (x + 16.0, 160.0),
                (x + 14.5, 162.0),
                (x, 162.0),
            ],
            Rgb(214, 204, 170),
            0.8,
        );
        x += 30.0;
    }
}

fn draw_house(pen: &mut Pen<'_>, x: f32) {
    let (wall, shade) = (Rgb(214, 190, 160), Rgb(176, 150, 130));
    // The drive from the garage to the street.
    pen.polygon(
        &[
            (x + 66.0, 124.0),
            (x + 104.0, 124.0),
            (x + 122.0, 141.0),
            (x + 62.0, 141.0),
        ],
        Rgb(128, 122, 120),
        1.0,
    );
    // Garage and house.
    pen.block(x + 58.0, 84.0, x + 112.0, 125.0, 0.0, shade);
    pen.polygon(
        &[
            (x + 52.0, 84.0),
            (x + 62.0, 70.0),
            (x + 112.0, 70.0),
            (x + 118.0, 84.0),
        ],
        Rgb(96, 52, 50),
        1.0,
    );
    pen.block(x, 68.0, x + 60.0, 125.0, 0.0, wall);
    pen.block(x + 44.0, 38.0, x + 51.0, 58.0, 0.0, Rgb(120, 72, 64));
    pen.polygon(
        &[(x - 7.0, 70.0), (x + 30.0, 40.0), (x + 67.0, 70.0)],
        Rgb(122, 62, 56),
        1.0,
    );
    for row in 0..5 {
        let y = 91.0 + 7.0 * row as f32;
        pen.block(x + 66.0, y, x + 104.0, y + 6.0, 0.6, Rgb(232, 226, 214));
    }
    let lit = Rgb(255, 222, 132);
    for (wx, wy) in [(8.0, 80.0), (40.0, 80.0)] {
        pen.glow((x + wx + 6.0, wy + 7.0, 10.0, 10.0), lit, 0.25, 12.0);
        pen.block(x + wx - 1.0, wy - 1.0, x + wx + 13.0, wy + 15.0, 0.6, WHITE);
        pen.block(x + wx, wy, x + wx + 12.0, wy + 14.0, 0.0, lit);
        pen.block(x + wx + 5.5, wy, x + wx + 6.5, wy + 14.0, 0.0, WHITE);
        pen.block(x + wx, wy + 6.5, x + wx + 12.0, wy + 7.5, 0.0, WHITE);
    }
    pen.block(x + 24.0, 96.0, x + 36.0, 125.0, 0.8, Rgb(74, 90, 110));
    pen.ellipse(x + 33.5, 111.0, 0.9, 0.9, Rgb(240, 210, 120), 1.0);
    pen.ellipse(x + 30.0, 57.0, 4.5, 4.5, lit, 1.0);
    pen.glow((x + 42.0, 100.0, 5.0, 5.0), Rgb(255, 236, 180), 0.8, 8.0);
    for bush in [(-2.0, 7.0), (10.0, 6.0), (50.0, 7.5)] {
        pen.ellipse(x + bush.0 + 4.0, 124.0, bush.1, 5.5, Rgb(44, 82, 50), 1.0);
    }
}

fn draw_tree(pen: &mut Pen<'_>, x: f32, y: f32, size: f32, leaf: Rgb) {
    let s = size;
    pen.block(
        x - 2.0 * s,
        y - 18.0 * s,
        x + 2.0 * s,
        y + 8.0 * s,
        0.5,
        Rgb(78, 58, 48),
    );
    for (dx, dy, r) in [
        (0.0, -34.0, 14.0),
        (-10.0, -24.0, 12.0),
        (10.0, -24.0, 12.0),
    ] {
        pen.ellipse(x + dx * s, y + dy * s, r * s, r * s, leaf, 1.0);
    }
    let light = leaf.mix(Rgb(255, 230, 160), 0.18);
    for (dx, dy, r) in [(-4.0, -37.0, 7.0), (-13.0, -27.0, 6.0), (7.0, -28.0, 6.0)] {
        pen.glow((x + dx * s, y + dy * s, r * s, r * s), light, 0.7, 3.0);
    }
}

/// How long the car is under way from one side to the other, in seconds.
const CAR_SECONDS: f64 = 9.0;

fn draw_car(pen: &mut Pen<'_>, secs: f64) {
    let turn = (secs / CAR_SECONDS) as u64;
    let way = (secs / CAR_SECONDS).fract() as f32;
    let colors = [
        Rgb(206, 52, 48),
        Rgb(42, 112, 176),
        Rgb(236, 186, 52),
        Rgb(220, 224, 226),
    ];
    let body = colors[(turn % 4) as usize];
    let to_left = turn % 2 == 1;
    let (from, to) = (-60.0, pen.width + 60.0);
    let (x, d, y) = if to_left {
        (to + (from - to) * way, -1.0, 151.0)
    } else {
        (from + (to - from) * way, 1.0, 170.0)
    };
    // Points of the car's own frame: ahead is positive, up is negative.
    let at = |ahead: f32, up: f32| (x + ahead * d, y + up);
    let span = |a: f32, b: f32| {
        if d > 0.0 {
            (x + a, x + b)
        } else {
            (x - b, x - a)
        }
    };
    let mut cabin = vec![
        at(-19.0, -10.0),
        at(-12.0, -20.0),
        at(8.0, -20.0),
        at(16.0, -10.0),
    ];
    let mut glass = vec![
        at(-15.5, -11.0),
        at(-10.5, -18.2),
        at(7.0, -18.2),
        at(12.8, -11.0),
    ];
    for corners in [&mut cabin, &mut glass] {
        if d < 0.0 {
            corners.reverse();
        }
    }
    for step in 1..=9 {
        let reach = 7.0 * step as f32;
        let wide = reach * 0.1;
        let mut beam = vec![
            at(26.0, -8.6),
            at(26.0 + reach, -8.0 - wide),
            at(26.0 + reach, -7.0 + wide * 1.6),
            at(26.0, -6.6),
        ];
        if d < 0.0 {
            beam.reverse();
        }
        pen.polygon(&beam, Rgb(255, 240, 190), 0.04);
    }
    pen.glow((x, y + 1.0, 30.0, 2.2), INK, 0.6, 3.0);
    pen.polygon(&cabin, body.mix(INK, 0.12), 1.0);
    pen.polygon(&glass, Rgb(150, 190, 214), 1.0);
    let (left, right) = span(-2.6, -1.0);
    pen.block(left, y - 19.0, right, y - 10.0, 0.0, body.mix(INK, 0.12));
    let (left, right) = span(-28.0, 27.0);
    pen.block(left, y - 11.5, right, y - 2.0, 3.0, body);
    pen.block(
        left + 1.0,
        y - 4.5,
        right - 1.0,
        y - 2.0,
        1.0,
        body.mix(INK, 0.35),
    );
    let (left, right) = span(23.8, 27.2);
    pen.block(left, y - 9.5, right, y - 6.5, 1.2, Rgb(255, 250, 214));
    let (left, right) = span(-28.2, -25.4);
    pen.block(left, y - 9.5, right, y - 6.5, 1.0, Rgb(255, 70, 50));
    for wheel in [-16.5, 15.5] {
        let (wx, wy) = at(wheel, -2.0);
        pen.ellipse(wx, wy, 5.2, 5.2, Rgb(22, 22, 26), 1.0);
        pen.ellipse(wx, wy, 2.7, 2.7, Rgb(176, 178, 184), 1.0);
        let angle = (x - wheel) / 5.2;
        let (sin, cos) = angle.sin_cos();
        pen.ellipse(wx + 1.6 * cos, wy + 1.6 * sin, 0.7, 0.7, INK, 1.0);
        pen.ellipse(wx - 1.6 * cos, wy - 1.6 * sin, 0.7, 0.7, INK, 1.0);
    }
}

fn draw_garden(pen: &mut Pen<'_>) {
    let w = pen.width;
    pen.gradient(0.0, 100.0, Rgb(92, 166, 226), Rgb(206, 232, 244));
    pen.glow((w * 0.82, 34.0, 26.0, 26.0), Rgb(255, 246, 196), 0.6, 40.0);
    pen.ellipse(w * 0.82, 34.0, 12.0, 12.0, Rgb(255, 240, 150), 1.0);
    pen.ellipse(w * 0.15, 122.0, 120.0, 42.0, Rgb(132, 180, 128), 1.0);
    pen.ellipse(w * 0.75, 124.0, 140.0, 38.0, Rgb(112, 166, 112), 1.0);
    pen.gradient(108.0, 180.0, Rgb(112, 178, 84), Rgb(66, 136, 62));
    // The fence.
    for y in [98.0, 108.0] {
        pen.block(0.0, y, w, y + 3.0, 0.0, Rgb(224, 220, 208));
    }
    let mut x = 3.0;
    while x < w {
        pen.polygon(
            &[
                (x, 94.0),
                (x + 3.0, 90.0),
                (x + 6.0, 94.0),
                (x + 6.0, 117.0),
                (x, 117.0),
            ],
            Rgb(246, 244, 236),
            1.0,
        );
        x += 10.0;
    }
    draw_apple_tree(pen, w * 0.2, 134.0);
    // The pond.
    pen.ellipse(w * 0.66, 148.0, 52.0, 14.0, Rgb(126, 118, 100), 1.0);
    pen.ellipse(w * 0.66, 148.0, 49.0, 12.0, Rgb(84, 156, 196), 1.0);
    pen.glow((w * 0.63, 145.0, 24.0, 3.0), Rgb(200, 232, 244), 0.7, 5.0);
    // Flowers, scattered by a rule that looks like none.
    let colors = [
        Rgb(236, 76, 92),
        Rgb(250, 206, 70),
        Rgb(196, 110, 206),
        Rgb(250, 246, 240),
    ];
    for i in 0..46_u32 {
        let mut hash = i.wrapping_add(17).wrapping_mul(0x9e37_79b1);
        hash = (hash ^ hash >> 15).wrapping_mul(0x85eb_ca6b);
        hash ^= hash >> 13;
        let x = (hash & 0xffff) as f32 / 65_536.0 * w;
        let y = 126.0 + (hash >> 16) as f32 / 65_536.0 * 50.0;
        if ((x - w * 0.66) / 58.0).hypot((y - 148.0) / 19.0) < 1.0 {
            continue;
        }
        let size = 0.8 + (y - 126.0) / 60.0;
        pen.block(x - 0.3, y, x + 0.3, y + 4.0 * size, 0.0, Rgb(44, 104, 48));
        let color = colors[(i % 4) as usize];
        for (dx, dy) in [(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)] {
            pen.ellipse(x + dx * size, y + dy * size, size, size, color, 1.0);
        }
        pen.ellipse(x, y, 0.7 * size, 0.7 * size, Rgb(255, 224, 110), 1.0);
    }
}

fn draw_apple_tree(pen: &mut Pen<'_>, x: f32, y: f32) {
    pen.glow((x, y + 1.0, 34.0, 4.0), Rgb(40, 90, 44), 0.5, 5.0);
    draw_tree(pen, x, y - 6.0, 1.9, Rgb(62, 128, 60));
    for (dx, dy) in [
        (-22.0, -50.0),
        (-8.0, -62.0),
        (6.0, -52.0),
        (20.0, -58.0),
        (24.0, -44.0),
        (-10.0, -44.0),
    ] {
        pen.ellipse(x + dx, y + dy, 2.4, 2.4, Rgb(214, 54, 48), 1.0);
        pen.ellipse(
            x + dx - 0.8,
            y + dy - 0.8,
            0.7,
            0.7,
            Rgb(255, 190, 180),
            1.0,
        );
    }
}

fn draw_sky_life(pen: &mut Pen<'_>, secs: f64) {
    let w = pen.width;
    for (offset, y, size, speed) in [(0.0, 24.0, 0.8, 6.0), (190.0, 21.0, 0.5, 4.0)] {
        let span = f64::from(w) + 120.0;
        let x = ((secs * speed + offset) % span) as f32 - 60.0;
        for (dx, dy, rx, ry) in [
            (0.0, 0.0, 26.0, 9.0),
            (-14.0, -4.0, 13.0, 9.0),
            (6.0, -8.0, 16.0, 12.0),
            (20.0, -2.0, 12.0, 8.0),
        ] {
            let ellipse = (x + dx * size, y + dy * size, rx * size, ry * size);
            pen.glow(ellipse, Rgb(252, 253, 255), 0.8, 4.0);
        }
    }
    // A bird on a winding way, wings beating.
    let angle = |period: f64| (secs % period / period * std::f64::consts::TAU) as f32;
    let (x, y) = (
        w * (0.5 + 0.4 * angle(11.0).sin()),
        72.0 + 26.0 * angle(5.5).sin(),
    );
    let d = if angle(11.0).cos() >= 0.0 { 1.0 } else { -1.0 };
    let beat = angle(0.5).sin() * 9.0;
    let dark = Rgb(48, 60, 92);
    for (ahead, back) in [(2.0, -5.0), (4.0, -2.0)] {
        let mut wing = vec![
            (x + back * d, y),
            (x + (back - 4.0) * d, y - beat),
            (x + ahead * d, y),
        ];
        // Clockwise, whichever way it flies and wherever the wing is.
        let cross = (wing[1].0 - wing[0].0) * (wing[2].1 - wing[0].1)
            - (wing[1].1 - wing[0].1) * (wing[2].0 - wing[0].0);
        if cross < 0.0 {
            wing.reverse();
        }
        if cross.abs() > 1.0 {
            pen.polygon(
                &wing,
                dark.mix(WHITE, if ahead > 3.0 { 0.25 } else { 0.0 }),
                1.0,
            );
        }
    }
    pen.ellipse(x, y, 8.0, 3.2, dark, 1.0);
    pen.ellipse(x + 7.0 * d, y - 2.0, 3.0, 2.8, dark, 1.0);
    pen.ellipse(x + 8.0 * d, y - 2.6, 0.6, 0.6, WHITE, 1.0);
    let mut beak = vec![
        (x + 9.4 * d, y - 3.0),
        (x + 13.0 * d, y - 1.6),
        (x + 9.4 * d, y - 0.8),
    ];
    if d < 0.0 {
        beak.reverse();
    }
    pen.polygon(&beak, Rgb(240, 160, 40), 1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_its_zone() {
        let wall = Wall90k(Wall90k::from_unix_secs(1_795_341_600).0 + 33_300);
        assert_eq!(tell_time(wall, &TimeZone::UTC), "2026-11-22 10:00:00.37");
        let zone = TimeZone::get("America/New_York").unwrap();
        assert_eq!(tell_time(wall, &zone), "2026-11-22 05:00:00.37");
    }

    #[test]
    fn a_moment_always_looks_the_same_and_no_two_do() {
        for place in [Place::Driveway, Place::Garden] {
            let mut scene = Scene::new(place, "x", (320, 180), 10, TimeZone::UTC);
            let at = |tenths: i64| Wall90k(1_795_341_600 * 90_000 + tenths * 9000);
            let first = scene.draw(at(0), 0).clone();
            for n in 1..30 {
                let next = scene.draw(at(n), n as u64).clone();
                assert_ne!(first, next, "{place:?} {n}");
            }
            assert_eq!(first, *scene.draw(at(0), 0));
        }
    }
}
