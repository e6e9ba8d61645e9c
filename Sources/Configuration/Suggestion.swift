/// `, did you mean "x"?` when one of the candidates is near, else nothing.
func suggestion(for text: String, among candidates: some Sequence<String>) -> String {
    // Nobody mistypes a word three times its length, and the distance costs the product of both.
    guard text.utf8.count <= 64 else { return "" }
    let folded = folded(text)
    let nearest = candidates.map { (name: $0, distance: editDistance(folded, Array($0.utf8))) }.min { $0.distance < $1.distance }
    guard let nearest, nearest.distance <= max(1, folded.count / 3) else { return "" }
    return ", did you mean \"\(nearest.name)\"?"
}

/// Bytes to insert, delete, replace, or swap with their neighbour.
func editDistance(_ left: [UInt8], _ right: [UInt8]) -> Int {
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for (i, byte) in left.enumerated() {
        var row = [i + 1]
        for (j, other) in right.enumerated() {
            var best = min(last[j] + (byte == other ? 0 : 1), last[j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, byte == right[j - 1], left[i - 1] == other { best = min(best, beforeLast[j - 1] + 1) }
            row.append(best)
        }
        (beforeLast, last) = (last, row)
    }
    return last[right.count]
}

/// `Half-Close` is `half_close` in the wrong dress.
private func folded(_ text: String) -> [UInt8] { text.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 } }

/// Text out of the file, fit for one line of a terminal.
func quoted(_ text: String, atMost limit: Int = 64) -> String {
    var result = "\""
    for scalar in text.unicodeScalars.prefix(limit) {
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator: result += "\\u{\(String(scalar.value, radix: 16))}"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + (text.unicodeScalars.count > limit ? "…\"" : "\"")
}
