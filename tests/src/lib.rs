//! Boots the image in QEMU and reads its console.
