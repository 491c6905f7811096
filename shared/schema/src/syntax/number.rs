//! A JSON number, byte by byte: grammar, and whether it fits a double.

/// More digits than this cannot change whether a number overflows: the limit itself has 309.
const KEPT_DIGITS: usize = 320;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

/// A number being read.
#[derive(Debug)]
pub(crate) struct Number {
    part: Part,
    /// The first significant digits.
    digits: Vec<u8>,
    /// Digits before the decimal point, from the first that is not zero; negative for zeros after it.
    magnitude: i64,
    exponent: i64,
    exponent_negative: bool,
}

impl Default for Number {
    fn default() -> Self {
        Self { part: Part::Minus, digits: Vec::new(), magnitude: 0, exponent: 0, exponent_negative: false }
    }
}

impl Number {
    /// Begins with the first byte of a number, a digit or a minus.
    pub(crate) fn start(&mut self, byte: u8) {
        self.digits.clear();
        (self.magnitude, self.exponent, self.exponent_negative) = (0, 0, false);
        self.part = Part::Minus;
        if byte != b'-' {
            self.take(byte);
        }
    }

    /// Takes a byte: true when it belongs to the number, false when the number ended before it, nothing when it is wrong.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> Option<bool> {
        self.part = match (self.part, byte) {
            (Part::Minus, b'0') => Part::Zero,
            (Part::Minus, b'1'..=b'9') | (Part::Whole, b'0'..=b'9') => {
                self.magnitude += 1;
                self.keep(byte);
                Part::Whole
            }
            (Part::Zero | Part::Whole, b'.') => Part::Point,
            (Part::Point | Part::Fraction, b'0'..=b'9') => {
                if self.digits.is_empty() && byte == b'0' {
                    self.magnitude -= 1;
                } else {
                    self.keep(byte);
                }
                Part::Fraction
            }
            (Part::Zero | Part::Whole | Part::Fraction, b'e' | b'E') => Part::Exponent,
            (Part::Exponent, b'+' | b'-') => {
                self.exponent_negative = byte == b'-';
                Part::ExponentSign
            }
            (Part::Exponent | Part::ExponentSign | Part::ExponentDigits, b'0'..=b'9') => {
                self.exponent = self.exponent.saturating_mul(10).saturating_add(i64::from(byte - b'0'));
                Part::ExponentDigits
            }
            (Part::Zero, b'0'..=b'9') => return None,
            _ if self.may_end() => return Some(false),
            _ => return None,
        };
        Some(true)
    }

    fn keep(&mut self, digit: u8) {
        if self.digits.len() < KEPT_DIGITS {
            self.digits.push(digit);
        }
    }

    /// Whether the bytes so far are a whole number.
    pub(crate) fn may_end(&self) -> bool {
        matches!(self.part, Part::Zero | Part::Whole | Part::Fraction | Part::ExponentDigits)
    }

    /// Whether it is too large for a double.
    pub(crate) fn overflows(&self) -> bool {
        let exponent = if self.exponent_negative { -self.exponent } else { self.exponent };
        let magnitude = self.magnitude.saturating_add(exponent);
        if self.digits.is_empty() || magnitude < 309 {
            return false;
        }
        if magnitude > 309 {
            return true;
        }
        let digits = std::str::from_utf8(&self.digits).expect("only ASCII digits are kept");
        format!("0.{digits}e309").parse::<f64>().is_ok_and(f64::is_infinite)
    }
}
