//! Advice to the kernel on memory (madvise(2)).

/// Asks for huge pages under `memory`, where that is large enough for one: a
/// table that is read at random places then costs fewer misses of the TLB. The
/// kernel may not have them, and nothing is lost then.
pub fn prefer_huge_pages<T>(memory: &mut [T]) {
    let bytes = size_of_val(memory);
    let start = memory.as_mut_ptr().cast::<libc::c_void>();
    // The advice is for whole pages; those at the ends are others' as well.
    let skipped = start.align_offset(PAGE);
    if bytes < HUGE_PAGE || skipped >= bytes {
        return;
    }
    let whole = (bytes - skipped) / PAGE * PAGE;
    // SAFETY: `skipped` bytes from the start are within `memory`.
    let first_page = unsafe { start.byte_add(skipped) };
    // SAFETY: the range lies within `memory`. MADV_HUGEPAGE changes by what
    // pages memory is backed, not what it holds.
    unsafe { libc::madvise(first_page, whole, libc::MADV_HUGEPAGE) };
}

/// The smallest page of any machine that Linux runs on here.
const PAGE: usize = 4096;

/// The usual huge page.
const HUGE_PAGE: usize = 2 << 20;
