//! What `std` would bring: an allocator, a panic handler, and the symbols of the C library that the compiler calls. Both
//! components compile this file.

use alloc::alloc::{alloc, handle_alloc_error, realloc};
use core::alloc::Layout;
use core::ptr;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

// For `memcmp` and its like.
#[link(name = "c")]
unsafe extern "C" {}

/// A panic is a defect; it becomes a trap. The message would cost the formatting machinery and build paths.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The canonical ABI's allocator. wit-bindgen brings none on this target, and the C library's is not linked.
///
/// # Safety
///
/// Called by the canonical ABI only: `old_ptr` is null or was returned from here for `old_len` and `align`, and
/// `align` is a power of two.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old_ptr: *mut u8, old_len: usize, align: usize, new_len: usize) -> *mut u8 {
    if new_len == 0 {
        return ptr::without_provenance_mut(align);
    }
    // SAFETY: `align` is a power of two, and no size on this target exceeds `isize::MAX` once rounded up, as the
    // canonical ABI checks lengths against the memory.
    let new_layout = unsafe { Layout::from_size_align_unchecked(new_len, align) };
    let new_ptr = if old_len == 0 {
        // SAFETY: the size is not zero.
        unsafe { alloc(new_layout) }
    } else {
        // SAFETY: see this function's contract.
        unsafe { realloc(old_ptr, Layout::from_size_align_unchecked(old_len, align), new_len) }
    };
    if new_ptr.is_null() {
        handle_alloc_error(new_layout);
    }
    new_ptr
}
