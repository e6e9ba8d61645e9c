/// Whether whoever sends this head would rather read HTML than plain text, by its Accept fields (RFC 9110 §12.5.1). Without them it would not:
/// it is a program.
public func prefersHTML(_ head: HeadReader, _ bytes: Span<UInt8>) -> Bool {
    var html = Preference()
    var plain = Preference()
    for field in head.fields where bytes.isText(field.name, "accept") {
        forEachElement(field.value, bytes) { element in
            let (type, quality) = mediaRange(element, bytes)
            if bytes.isText(type, "*/*") {
                html.take(quality, 1)
                plain.take(quality, 1)
            } else if bytes.isText(type, "text/*") {
                html.take(quality, 2)
                plain.take(quality, 2)
            } else if bytes.isText(type, "text/html") {
                html.take(quality, 3)
            } else if bytes.isText(type, "text/plain") {
                plain.take(quality, 3)
            }
        }
    }
    return html.quality > plain.quality
}

/// How much one type is wanted: as the most precise range says that holds it.
private struct Preference {
    private(set) var quality = 0
    private var precision = 0

    mutating func take(_ quality: Int, _ precision: Int) {
        guard precision >= self.precision else { return }
        self.quality = precision > self.precision ? quality : max(quality, self.quality)
        self.precision = precision
    }
}

/// - Returns: the range without its parameters, and its quality in thousandths; 0 where that is no number.
private func mediaRange(_ element: Range<Int>, _ bytes: Span<UInt8>) -> (type: Range<Int>, quality: Int) {
    var type: Range<Int>?
    var quality = 1_000
    var start = element.lowerBound
    while start <= element.upperBound {
        var end = start
        while end < element.upperBound, bytes[end] != UInt8(ascii: ";") { end += 1 }
        let part = bytes.trimmed(start..<end)
        if type == nil {
            type = part
        } else if part.count >= 2, foldedOctet(bytes[part.lowerBound]) == UInt8(ascii: "q"),
            bytes[part.lowerBound + 1] == UInt8(ascii: "=")
        {
            quality = thousandths(part.lowerBound + 2..<part.upperBound, bytes) ?? 0
        }
        start = end + 1
    }
    return (type ?? element, quality)
}

/// Reads `1`, `0.5`, `0.125`.
private func thousandths(_ place: Range<Int>, _ bytes: Span<UInt8>) -> Int? {
    guard (1...5).contains(place.count), isDigitOctet(bytes[place.lowerBound]),
        place.count == 1 || bytes[place.lowerBound + 1] == UInt8(ascii: ".")
    else { return nil }
    var number = Int(bytes[place.lowerBound] &- 0x30) * 1_000
    var weight = 100
    for offset in place.dropFirst(2) {
        guard isDigitOctet(bytes[offset]) else { return nil }
        number += Int(bytes[offset] &- 0x30) * weight
        weight /= 10
    }
    return number <= 1_000 ? number : nil
}
