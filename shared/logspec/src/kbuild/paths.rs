//! Paths in logs, with the rules of POSIX as the reference's language applies them.

use memchr::memrchr;

/// The path without its extension. Dots that a file name begins with start no extension.
pub(super) fn stem(path: &[u8]) -> &[u8] {
    let name = base_name(path);
    let dots = name.iter().take_while(|&&byte| byte == b'.').count();
    match memrchr(b'.', &name[dots..]) {
        Some(dot) => &path[..path.len() - name.len() + dots + dot],
        None => path,
    }
}

/// What follows the last slash.
pub(super) fn base_name(path: &[u8]) -> &[u8] {
    memrchr(b'/', path).map_or(path, |slash| &path[slash + 1..])
}

/// What comes before the last slash, without slashes at its end unless it has nothing else.
pub(super) fn directory(path: &[u8]) -> &[u8] {
    let head = &path[..path.len() - base_name(path).len()];
    head.iter().rposition(|&byte| byte != b'/').map_or(head, |last| &head[..=last])
}

/// `name` in this directory; a name that begins with a slash needs none.
pub(super) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if name.starts_with(b"/") {
        return name.to_vec();
    }
    let slash: &[u8] = if directory.is_empty() || directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, slash, name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_the_reference_splits_them() {
        for (path, stem_of, name, dir) in [
            ("a/b.c.o", "a/b.c", "b.c.o", "a"),
            ("a/.o", "a/.o", ".o", "a"),
            ("a/..b.o", "a/..b", "..b.o", "a"),
            ("a.b/c", "a.b/c", "c", "a.b"),
            ("a/b/", "a/b/", "", "a/b"),
            ("/x.o", "/x", "x.o", "/"),
            ("//x", "//x", "x", "//"),
            ("a//x.", "a//x", "x.", "a"),
            ("", "", "", ""),
        ] {
            let path = path.as_bytes();
            assert_eq!(
                (stem(path), base_name(path), directory(path)),
                (stem_of.as_bytes(), name.as_bytes(), dir.as_bytes())
            );
        }
        assert_eq!(join(b"", b"x"), b"x");
        assert_eq!(join(b"a/", b"x"), b"a/x");
        assert_eq!(join(b"a", b"/x"), b"/x");
        assert_eq!(join(b"a", b"x"), b"a/x");
    }
}
