/// The bytes of a file and the way from an offset to a line and column.
struct SourceText {
    /// Without a byte order mark, which is no part of any line.
    let bytes: [UInt8]
    private var lineStarts = [0]
    /// Scalars before each block of bytes, so that a column in a file of one long line is not counted from its start each time.
    private var scalarsBeforeBlock: [Int] = []

    private static let blockSize = 4096

    init(_ text: String) {
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let all = Array(text.utf8)
        bytes = all.starts(with: mark) ? Array(all.dropFirst(mark.count)) : all
        var scalars = 0
        for (offset, byte) in bytes.enumerated() {
            if offset % Self.blockSize == 0 { scalarsBeforeBlock.append(scalars) }
            if byte & 0xC0 != 0x80 { scalars += 1 }
            if byte == UInt8(ascii: "\n") { lineStarts.append(offset + 1) }
        }
        if bytes.count % Self.blockSize == 0 { scalarsBeforeBlock.append(scalars) }
    }

    /// An offset past the end is the end.
    func position(of offset: Int, in file: String) -> SourcePosition {
        let offset = min(max(offset, 0), bytes.count)
        var (low, high) = (0, lineStarts.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if lineStarts[middle] <= offset { low = middle } else { high = middle }
        }
        return SourcePosition(file: file, line: low + 1, column: scalars(before: offset) - scalars(before: lineStarts[low]) + 1)
    }

    /// The way back, for positions that come from elsewhere. A line or column that does not exist is the nearest that does.
    func offset(line: Int, column: Int) -> Int {
        let index = min(max(line - 1, 0), lineStarts.count - 1)
        var offset = lineStarts[index]
        let end = index + 1 < lineStarts.count ? lineStarts[index + 1] - 1 : bytes.count
        var remaining = max(column - 1, 0)
        while offset < end, remaining > 0 {
            offset += 1
            while offset < end, bytes[offset] & 0xC0 == 0x80 { offset += 1 }
            remaining -= 1
        }
        return offset
    }

    private func scalars(before offset: Int) -> Int {
        let block = offset / Self.blockSize
        return bytes[(block * Self.blockSize)..<offset].reduce(scalarsBeforeBlock[block]) { $1 & 0xC0 != 0x80 ? $0 + 1 : $0 }
    }
}
