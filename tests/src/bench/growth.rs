// SPDX-License-Identifier: MIT OR Apache-2.0

//! A picture of the growth of cost with the size of the area.

use plotters::prelude::*;

use super::Figures;
use super::table::{SCALED, SIZES_MIB};

const SIZE: (u32, u32) = (800, 440);

/// Draws the means of the scaled loads over the size of the area, as SVG.
///
/// # Errors
/// A message, if it cannot be drawn, or a figure is missing.
pub fn picture(figures: &Figures) -> Result<String, String> {
    let mut curves = Vec::new();
    for (load, shade) in
        SCALED.iter().zip([RGBColor(0x1f, 0x5f, 0xa8), RGBColor(0xb0, 0x4a, 0x1c), RGBColor(0x2e, 0x7d, 0x4f)])
    {
        for (what, word) in [("op", "allocate"), ("release", "release")] {
            let point = |mib: u32| {
                let name = format!("{load}/{mib}");
                let value = figures.get(&name, what).ok_or_else(|| format!("{name} was not measured"))?;
                // The axis is logarithmic.
                Ok((f64::from(mib).log2(), value as f64))
            };
            let points = SIZES_MIB.into_iter().map(point).collect::<Result<Vec<_>, String>>()?;
            curves.push((format!("{load}, {word}"), points, shade, what == "op"));
        }
    }
    let highest = curves.iter().flat_map(|curve| &curve.1).map(|point| point.1).fold(0.0, f64::max);
    let mut text = String::new();
    draw(&mut text, &curves, highest * 1.1).map_err(|error| format!("the picture: {error}"))?;
    Ok(text)
}

type Curve = (String, Vec<(f64, f64)>, RGBColor, bool);

fn draw(text: &mut String, curves: &[Curve], top: f64) -> Result<(), Box<dyn std::error::Error>> {
    let area = SVGBackend::with_string(text, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(2.9..9.7, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc("area in MiB")
        .y_desc("instructions a call, mean")
        .y_label_formatter(&|count| format!("{count:.0}"))
        .x_labels(8)
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 17))
        .x_label_formatter(&|log2: &f64| format!("{:.0}", log2.exp2()))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;
    for (label, points, color, solid) in curves {
        let style = if *solid { color.stroke_width(2) } else { color.mix(0.45).stroke_width(2) };
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, style.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 16))
        .legend_area_size(32)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    drop(chart);
    drop(area);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_drawn() {
        let record = |load: &str, mib: u32| {
            format!(r#"{{"record":"bench","name":"{load}/{mib}","ns_per_op":{mib},"max_ns":9,"release_ns":7}}"#)
        };
        let lines: Vec<_> = SCALED.iter().flat_map(|load| SIZES_MIB.map(|mib| record(load, mib))).collect();
        let figures = Figures::from_records(lines.iter().map(String::as_str)).unwrap();
        let svg = picture(&figures).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert_eq!(svg.matches("<circle").count(), 2 * SCALED.len() * SIZES_MIB.len());
        assert!(svg.contains("sizes, release"));
        assert!(picture(&Figures::default()).is_err());
    }
}
