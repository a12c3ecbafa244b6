//! Takes the guest kernel out of the image in which Debian packages it.
//!
//! A `bzImage` is a program that unpacks the kernel, which takes long under emulation; QEMU starts the unpacked
//! kernel at its PVH entry point directly. What cannot be unpacked, or has no such entry point, is kept as it is.
//! The layout is that of Linux' `Documentation/arch/x86/boot.rst`. Pure: bytes in, bytes out.

use super::manifest::KernelKind;
use object::elf::{FileHeader64, NoteType, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, elf};

/// `XEN_ELFNOTE_PHYS32_ENTRY` of Xen's `elfnote.h`: the PVH entry point.
const PVH_ENTRY_NOTE: NoteType = NoteType(18);
/// The magic number of LZ4's legacy frame, in which the kernel is compressed.
const LZ4_LEGACY: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const LZ4_BLOCK_BYTES: usize = 8 << 20;
/// No kernel comes near this size.
const MAX_KERNEL_BYTES: usize = 512 << 20;

/// The kernel as it shall be stored. If it is kept as it is, the text says why.
pub(super) fn stored_form(image: Vec<u8>) -> (Vec<u8>, KernelKind, Option<String>) {
    match unpack(&image) {
        Ok(kernel) => (kernel, KernelKind::Vmlinux, None),
        Err(reason) => (image, KernelKind::Bzimage, Some(reason)),
    }
}

fn unpack(image: &[u8]) -> Result<Vec<u8>, String> {
    let kernel = decompress(payload(image)?)?;
    if !has_pvh_entry(&kernel) {
        return Err("the kernel has no PVH entry point".into());
    }
    Ok(kernel)
}

/// The compressed kernel within the image.
fn payload(image: &[u8]) -> Result<&[u8], String> {
    let is_linux = image.get(0x202..0x206) == Some(b"HdrS");
    let version = image.get(0x206..0x208).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    if !is_linux || version.is_none_or(|version| version < 0x0208) {
        return Err("not a Linux boot image of protocol 2.08 or later".into());
    }
    let setup_sectors = match image[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let start = (setup_sectors + 1) * 512 + number(image, 0x248)?;
    let end = start.saturating_add(number(image, 0x24c)?);
    image.get(start..end).ok_or_else(|| "the boot header points outside of the image".into())
}

fn number(bytes: &[u8], offset: usize) -> Result<usize, String> {
    let field = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    field.map(|field| u32::from_le_bytes(*field) as usize).ok_or_else(|| "the image is cut short".into())
}

/// LZ4's legacy frame: blocks of a length and data, each of which gives at most 8 MiB; then, as the kernel's build
/// appends it, the size of the whole.
fn decompress(payload: &[u8]) -> Result<Vec<u8>, String> {
    let body = payload.strip_prefix(&LZ4_LEGACY).ok_or("the kernel is not compressed with LZ4")?;
    let trailer = body.len().checked_sub(4).ok_or("the kernel is cut short")?;
    let size = number(body, trailer)?;
    if size > MAX_KERNEL_BYTES {
        return Err(format!("the kernel claims to have {size} bytes"));
    }
    let mut rest = &body[..trailer];
    let mut kernel = Vec::new();
    while !rest.is_empty() {
        let length = number(rest, 0)?;
        let block = rest[4..].get(..length).ok_or("a compressed block is cut short")?;
        let room = LZ4_BLOCK_BYTES.min(size.saturating_sub(kernel.len()));
        let start = kernel.len();
        kernel.resize(start + room, 0);
        let n_written = lz4_flex::block::decompress_into(block, &mut kernel[start..])
            .map_err(|error| format!("the kernel does not unpack: {error}"))?;
        kernel.truncate(start + n_written);
        rest = &rest[4 + length..];
    }
    if kernel.len() != size {
        return Err(format!("the kernel has {} bytes instead of {size}", kernel.len()));
    }
    Ok(kernel)
}

fn has_pvh_entry(kernel: &[u8]) -> bool {
    find_pvh_entry(kernel).unwrap_or(false)
}

fn find_pvh_entry(kernel: &[u8]) -> object::Result<bool> {
    let header = FileHeader64::<Endianness>::parse(kernel)?;
    let endian = header.endian()?;
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Ok(false);
    }
    for segment in header.program_headers(endian, kernel)? {
        if segment.p_type(endian) != PT_NOTE {
            continue;
        }
        let Some(mut notes) = segment.notes(endian, kernel)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"Xen" && note.n_type(endian) == PVH_ENTRY_NOTE {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tiny ELF file with one note.
    fn elf_with_note(name: &[u8; 4], kind: NoteType) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes()); // executable
        file.extend(62u16.to_le_bytes()); // x86-64
        file.extend(1u32.to_le_bytes());
        file.extend(0u64.to_le_bytes()); // entry
        file.extend(64u64.to_le_bytes()); // program headers
        file.extend(0u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for half in [64u16, 56, 1, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend(4u32.to_le_bytes()); // PT_NOTE
        file.extend(4u32.to_le_bytes());
        for field in [120u64, 0, 0, 20, 20, 4] {
            file.extend(field.to_le_bytes());
        }
        for field in [4u32, 4, kind.0] {
            file.extend(field.to_le_bytes());
        }
        file.extend(name);
        file.extend(0u32.to_le_bytes());
        file
    }

    /// A boot image around a kernel, as Linux' build makes it.
    fn boot_image(kernel: &[u8]) -> Vec<u8> {
        let mut payload = LZ4_LEGACY.to_vec();
        for chunk in kernel.chunks(LZ4_BLOCK_BYTES) {
            let block = lz4_flex::block::compress(chunk);
            payload.extend(u32::try_from(block.len()).expect("small").to_le_bytes());
            payload.extend(block);
        }
        payload.extend(u32::try_from(kernel.len()).expect("small").to_le_bytes());
        let mut image = vec![0; 2 * 512 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x020fu16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&16u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).expect("small").to_le_bytes());
        image.extend(payload);
        image.extend([0xaa; 100]);
        image
    }

    #[test]
    fn a_kernel_with_a_pvh_entry_is_unpacked() {
        let mut kernel = elf_with_note(b"Xen\0", PVH_ENTRY_NOTE);
        kernel.resize(LZ4_BLOCK_BYTES + 1000, 7);
        let (stored, kind, reason) = stored_form(boot_image(&kernel));
        assert_eq!((kind, reason), (KernelKind::Vmlinux, None));
        assert!(stored == kernel);
    }

    #[test]
    fn other_images_are_kept_as_they_are() {
        let without = boot_image(&elf_with_note(b"GNU\0", NoteType(3)));
        let mut gzip = boot_image(&elf_with_note(b"Xen\0", PVH_ENTRY_NOTE));
        gzip[2 * 512 + 16] = 0x1f;
        for image in [without, gzip, Vec::new(), vec![0; 0x300], b"\x7fELF".to_vec()] {
            let (stored, kind, reason) = stored_form(image.clone());
            assert_eq!(kind, KernelKind::Bzimage);
            assert!(reason.is_some() && stored == image);
        }
    }

    #[test]
    fn no_cut_or_bent_image_panics() {
        let image = boot_image(&elf_with_note(b"Xen\0", PVH_ENTRY_NOTE));
        for end in 0..image.len() {
            let _ = unpack(&image[..end]);
        }
        for position in 0..image.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bent = image.clone();
                bent[position] = value;
                let _ = unpack(&bent);
            }
        }
    }
}
