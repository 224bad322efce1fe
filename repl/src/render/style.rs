//! Colours, and when there are none.

use std::io::IsTerminal;

use nu_ansi_term::{Color, Style};

/// Colours of the terminal; all plain where standard output is not one or NO_COLOR is set.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    pub header: Style,
    pub null: Style,
    pub error: Style,
    pub hint: Style,
    pub good: Style,
    pub dim: Style,
}

impl Palette {
    pub fn detect() -> Palette {
        let plain =
            std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !std::io::stdout().is_terminal();
        if plain { Palette::plain() } else { Palette::colour() }
    }

    pub fn plain() -> Palette {
        let style = Style::new();
        Palette { header: style, null: style, error: style, hint: style, good: style, dim: style }
    }

    pub fn colour() -> Palette {
        Palette {
            header: Style::new().bold(),
            null: Color::DarkGray.italic(),
            error: Color::Red.bold(),
            hint: Color::Yellow.normal(),
            good: Color::Green.normal(),
            dim: Color::DarkGray.normal(),
        }
    }
}
