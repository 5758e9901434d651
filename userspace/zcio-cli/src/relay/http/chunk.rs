// SPDX-License-Identifier: MIT
//! Lines between the chunks of a body: no input and output, only what they mean. As strict as
//! the grammar: a size is hexadecimal digits alone, and every line ends with CR LF.

/// The most bytes of a chunk's line, with its extensions.
pub const MOST: usize = 4096;

/// Gathers a line: not one byte of what follows it.
#[derive(Default)]
pub struct Line(Vec<u8>);

/// A line that cannot be one of a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong(pub &'static str);

impl Line {
    /// Takes what belongs to the line from the front of `more`: so many bytes. The line without
    /// its end, if that is all of it.
    pub fn take(&mut self, more: &[u8]) -> Result<(usize, Option<Vec<u8>>), Wrong> {
        for (at, byte) in more.iter().enumerate() {
            let after_cr = self.0.last() == Some(&b'\r');
            if (*byte == b'\n') != after_cr {
                return Err(Wrong("a line between chunks does not end with CR LF"));
            }
            if *byte == b'\n' {
                self.0.pop();
                return Ok((at + 1, Some(std::mem::take(&mut self.0))));
            }
            if self.0.len() == MOST {
                return Err(Wrong("a line between chunks is too long"));
            }
            self.0.push(*byte);
        }
        Ok((more.len(), None))
    }
}

/// The size in a chunk's line. Extensions are not for us, and go no further.
pub fn size(line: &[u8]) -> Result<u64, Wrong> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, rest) = line.split_at(digits);
    let extension = rest.trim_ascii_start();
    let visible = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    // 15 digits: so that the kernel can count it.
    if !(1..=15).contains(&digits)
        || !(rest.is_empty() || extension.starts_with(b";"))
        || !rest.iter().all(visible)
    {
        return Err(Wrong("the size of a chunk is not a number"));
    }
    let size = std::str::from_utf8(size).ok().and_then(|text| u64::from_str_radix(text, 16).ok());
    size.ok_or(Wrong("the size of a chunk is not a number"))
}

/// The line before a chunk of so many bytes.
pub fn line(size: u64) -> Vec<u8> {
    format!("{size:x}\r\n").into_bytes()
}

/// Behind the last chunk: no trailers.
pub const LAST: &[u8] = b"0\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            (&b"0"[..], 0),
            (b"1", 1),
            (b"fF", 255),
            (b"0010", 16),
            (b"5;a=b", 5),
            (b"5 ; a=\"b\"", 5),
            (b"7fffffffffffff", 0x7f_ffff_ffff_ffff),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text:?}");
        }
        let wrong: [&[u8]; 12] = [
            b"",
            b" 5",
            b"+5",
            b"-5",
            b"0x5",
            b"5 5",
            b"5_0",
            b";a",
            b"g",
            b"5\0",
            b"5;\x01",
            b"1000000000000000",
        ];
        for text in wrong {
            assert!(size(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lines_end_with_both() {
        assert_eq!(Line::default().take(b"5\r\nhello"), Ok((3, Some(b"5".to_vec()))));
        assert_eq!(Line::default().take(b"\r\n"), Ok((2, Some(vec![]))));
        for wrong in [&b"5\nhello"[..], b"5\rhello", b"\n", b"5\r\r\n"] {
            assert!(Line::default().take(wrong).is_err(), "{wrong:?}");
        }
        assert!(Line::default().take(&[b'5'; MOST + 1]).is_err());
    }

    proptest! {
        /// However the bytes come, the line is the same, and what follows it stays.
        #[test]
        fn a_line_in_pieces(bytes in proptest::collection::vec(32..127u8, 0..200), cut in 0..203usize) {
            let whole = [&bytes[..], b"\r\n", b"rest"].concat();
            let cut = cut.min(bytes.len() + 2);
            let mut line = Line::default();
            let (taken, first) = line.take(&whole[..cut]).unwrap();
            let (more, found) = match first {
                Some(found) => (0, found),
                None => {
                    let (more, found) = line.take(&whole[cut..]).unwrap();
                    (more, found.unwrap())
                }
            };
            prop_assert_eq!(taken + more, bytes.len() + 2);
            prop_assert_eq!(found, bytes);
        }

        #[test]
        fn what_we_write_we_read(bytes in 0..1u64 << 55) {
            let (_, read) = Line::default().take(&line(bytes)).unwrap();
            prop_assert_eq!(size(&read.unwrap()), Ok(bytes));
        }

        #[test]
        fn anything_else_is_refused_or_a_number(bytes: Vec<u8>) {
            if let Ok(found) = size(&bytes) {
                prop_assert!(found < 1 << 60);
                prop_assert!(bytes[0].is_ascii_hexdigit());
            }
        }
    }
}
