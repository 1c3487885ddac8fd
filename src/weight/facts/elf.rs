//! Programs and libraries in the ELF format: what they need to start, and how much of them is for
//! debuggers only. Only what lies within the given bytes is seen.

use serde::{Deserialize, Serialize};

use super::{BuildInfo, build_info};

/// What an ELF file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// 32 or 64, and `e_machine`: libraries of another kind do not count.
    pub kind: (u8, u16),
    /// `PT_INTERP`: the loader, an absolute path. Programs have it, libraries mostly not.
    pub loader: Option<String>,
    /// `DT_NEEDED`: names of libraries, sometimes paths.
    pub needed: Vec<String>,
    /// `DT_RUNPATH`, or else `DT_RPATH`: directories, `$ORIGIN` unexpanded.
    pub run_path: Vec<String>,
    /// Sections that stripping takes away: `.debug_*`, and with them symbol tables. Bytes in the file.
    pub debug: u64,
    /// Nothing but debug sections is in it.
    pub only_debug: bool,
    pub build: Option<BuildInfo>,
}

pub(super) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const SHT_PROGBITS: u32 = 1;
const SHT_SYMTAB: u32 = 2;
const SHT_NOBITS: u32 = 8;
const SHF_ALLOC: u64 = 2;
/// Of headers and dynamic entries: real files have a few dozen.
const MAX_ENTRIES: usize = 4096;

pub(super) fn program(bytes: &[u8]) -> Option<Program> {
    let elf = Elf::new(bytes)?;
    let segments = elf.segments();
    let sections = elf.sections();
    let mut program = Program { kind: (elf.bits(), elf.half(18)?), ..Program::default() };
    if let Some(loader) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        program.loader = elf.text(loader.offset);
    }
    if let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) {
        elf.read_dynamic(dynamic, &segments, &mut program);
    }
    let debug = |section: &&Section| {
        section.name.starts_with(".debug_") || section.name.starts_with(".zdebug_")
    };
    let stripped: u64 = sections.iter().filter(debug).map(|section| section.size).sum();
    if stripped > 0 {
        let symbols = sections.iter().filter(|section| section.kind == SHT_SYMTAB);
        let symbols: u64 =
            symbols.map(|table| table.size + sections.get(table.link).map_or(0, |s| s.size)).sum();
        program.debug = stripped.saturating_add(symbols).min(bytes.len() as u64);
        // `objcopy --only-keep-debug` leaves the sections of the program, without their bytes.
        let loaded = |s: &&Section| s.flags & SHF_ALLOC != 0 && s.kind == SHT_PROGBITS;
        program.only_debug = !sections.iter().any(|section| loaded(&section))
            && sections.iter().any(|section| section.kind == SHT_NOBITS);
    }
    let named = |name: &str| sections.iter().find(|section| section.name == name);
    let audit = named(".dep-v0").and_then(|section| elf.slice(section.offset, section.size));
    let go = named(".go.buildinfo").and_then(|section| elf.slice(section.offset, section.size));
    program.build = audit.and_then(build_info::rust).or_else(|| go.and_then(build_info::go));
    Some(program)
}

struct Elf<'a> {
    bytes: &'a [u8],
    is_64: bool,
    is_big: bool,
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

struct Section {
    name: String,
    kind: u32,
    flags: u64,
    offset: u64,
    size: u64,
    /// The table of names of a symbol table.
    link: usize,
}

impl<'a> Elf<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let is_64 = match bytes.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let is_big = match bytes.get(5)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        Some(Self { bytes, is_64, is_big })
    }

    fn bits(&self) -> u8 {
        if self.is_64 { 64 } else { 32 }
    }

    fn slice(&self, offset: u64, size: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        self.bytes.get(start..end)
    }

    fn number(&self, offset: u64, size: u64) -> Option<u64> {
        let bytes = self.slice(offset, size)?;
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(match self.is_big {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }

    fn half(&self, offset: u64) -> Option<u16> {
        self.number(offset, 2).and_then(|value| u16::try_from(value).ok())
    }

    fn word(&self, offset: u64) -> Option<u32> {
        self.number(offset, 4).and_then(|value| u32::try_from(value).ok())
    }

    /// A field as wide as an address: the `long`s of the 64-bit format, the `short`s of the other.
    fn address(&self, base: u64, short: u64, long: u64) -> Option<u64> {
        match self.is_64 {
            true => self.number(base.checked_add(long)?, 8),
            false => self.number(base.checked_add(short)?, 4),
        }
    }

    /// Up to a NUL.
    fn text(&self, offset: u64) -> Option<String> {
        let bytes = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let end = bytes.iter().take(4096).position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    }

    /// Where the entries of a table start: its offset, their size and their number from the header.
    fn table(&self, offset: Option<u64>, size: u64, count: u64) -> Vec<u64> {
        let (Some(offset), Some(size), Some(count)) = (offset, self.half(size), self.half(count))
        else {
            return Vec::new();
        };
        let start = |index: u16| offset.checked_add(u64::from(index) * u64::from(size));
        (0..count).filter_map(start).take(MAX_ENTRIES).collect()
    }

    fn segments(&self) -> Vec<Segment> {
        let (size, count) = if self.is_64 { (54, 56) } else { (42, 44) };
        let table = self.table(self.address(0, 28, 32), size, count);
        let segment = |base: &u64| {
            Some(Segment {
                kind: self.word(*base)?,
                offset: self.address(*base, 4, 8)?,
                address: self.address(*base, 8, 16)?,
                size: self.address(*base, 16, 32)?,
            })
        };
        table.iter().filter_map(segment).collect()
    }

    fn sections(&self) -> Vec<Section> {
        let (size, count, names) = if self.is_64 { (58, 60, 62) } else { (46, 48, 50) };
        let table = self.table(self.address(0, 32, 40), size, count);
        let section = |base: &u64| {
            Some(Section {
                name: String::new(),
                kind: self.word(base + 4)?,
                flags: self.address(*base, 8, 8)?,
                offset: self.address(*base, 16, 24)?,
                size: self.address(*base, 20, 32)?,
                link: usize::try_from(self.word(base + if self.is_64 { 40 } else { 24 })?).ok()?,
            })
        };
        // A table that is not whole would have the wrong numbers.
        let Some(mut sections) = table.iter().map(section).collect::<Option<Vec<_>>>() else {
            return Vec::new();
        };
        let names = self.half(names).and_then(|index| sections.get(usize::from(index)));
        let Some(names) = names.map(|section| section.offset) else { return Vec::new() };
        for (section, base) in sections.iter_mut().zip(&table) {
            let name = self.word(*base).and_then(|name| names.checked_add(u64::from(name)));
            section.name = name.and_then(|name| self.text(name)).unwrap_or_default();
        }
        sections
    }

    fn read_dynamic(&self, dynamic: &Segment, segments: &[Segment], program: &mut Program) {
        let width = if self.is_64 { 8 } else { 4 };
        let mut entries = Vec::new();
        for index in 0..(dynamic.size / (2 * width)).min(MAX_ENTRIES as u64) {
            let Some(base) = dynamic.offset.checked_add(index * 2 * width) else { return };
            match (self.number(base, width), self.number(base.saturating_add(width), width)) {
                (Some(0) | None, _) | (_, None) => break,
                (Some(tag), Some(value)) => entries.push((tag, value)),
            }
        }
        let value = |tag| entries.iter().find(|entry| entry.0 == tag).map(|entry| entry.1);
        let Some(strings) = value(DT_STRTAB).and_then(|address| file_offset(segments, address))
        else {
            return;
        };
        let text = |offset: u64| strings.checked_add(offset).and_then(|offset| self.text(offset));
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
        program.needed = needed.filter_map(|(_, offset)| text(*offset)).collect();
        let run_path = value(DT_RUNPATH).or(value(DT_RPATH)).and_then(text).unwrap_or_default();
        program.run_path =
            run_path.split(':').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    }
}

/// Where in the file the byte of an address is.
fn file_offset(segments: &[Segment], address: u64) -> Option<u64> {
    let holds =
        |s: &&Segment| s.kind == PT_LOAD && address >= s.address && address - s.address < s.size;
    let segment = segments.iter().find(holds)?;
    segment.offset.checked_add(address - segment.address)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The program that runs this test is one itself.
    fn own() -> Vec<u8> {
        std::fs::read("/proc/self/exe").unwrap()
    }

    #[test]
    fn a_real_program_is_read() {
        let found = program(&own()).unwrap();
        let is_64 = if cfg!(target_pointer_width = "64") { 64 } else { 32 };
        assert_eq!(found.kind.0, is_64);
        assert!(found.debug > 0, "the tests are built with line tables");
        assert!(!found.only_debug);
        assert_eq!(found.loader.is_some(), !found.needed.is_empty());
    }

    #[test]
    fn half_a_program_says_less_and_nothing_wrong() {
        let bytes = own();
        let whole = program(&bytes).unwrap();
        let half = program(&bytes[..bytes.len() / 2]).unwrap();
        assert_eq!((half.kind, half.debug), (whole.kind, 0));
    }

    proptest! {
        #[test]
        fn damage_does_no_harm(at in 0..4096_usize, byte: u8, length in 0..8192_usize) {
            static OWN: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {
                let mut bytes = own();
                bytes.truncate(8192);
                bytes
            });
            let mut bytes = OWN[..length.max(64)].to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            if let Some(found) = program(&bytes) {
                prop_assert!(found.debug <= bytes.len() as u64);
            }
        }
    }
}
