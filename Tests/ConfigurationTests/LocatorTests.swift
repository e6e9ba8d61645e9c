import Testing

@testable import Configuration

@Suite struct LocatorTests {
    /// Each key of a document that the parser accepts is found where it is written, and each value begins as its type does.
    @Test(arguments: [
        fullSample, packagedText,
        "a.b.c = 1\na.\"d e\" = 'x'\n'q'.r = [1, [2, {s = 3}]]\n",
        "[a]\nb = 1\n[a.c]\nd = 2\n[[a.e]]\nf = 3\n[[a.e]]\nf = 4\n[a.e.g]\nh = 5\n[[a.e.i]]\nj = 6\n[k]\n",
        "s = \"\"\"\n\"quoted\" \\\" [x]\n# not a comment\n\"\"\"\"\"\nt = '''a'' b'''''\nu = \"#]\" # comment\nv = ''\nw = \"\"\n",
        "x = [ # one\n  1, # two\n  # three\n  2,\n]\ny = []\nz = {}\nd = 1979-05-27 07:32:00Z # when\ne = +1.5e3\nf = inf\n",
        "\"\\u00e9\\t\" = 1\n\"\" = 2\n-_0 = 3\n  [ sp . ace ]\n  k\t=\t4\n[[ t . u ]]\nk = 5\n",
        "[a]\r\nb = '''x\r\ny'''\r\nc = [\r\n1,\r\n2]\r\n",
        "listener = [{name = 'a', listen = ['x']}, {name = 'b'}]\na = {b.c = 1, 'd' = {}}",
    ])
    func agreesWithTheParser(text: String) throws {
        let collector = DiagnosticCollector(source: SourceText(text), file: "t.toml")
        let root = try Document.parse(collector)
        #expect(Locator(collector.source).stop == nil)
        var seen: Set<Int> = []
        check(root, collector.source, &seen)
    }

    private func check(_ node: Node, _ source: SourceText, _ seen: inout Set<Int>) {
        let head = source.bytes[node.valueOffset...].prefix(1)
        switch node.content {
        case .string: #expect(head == [0x22] || head == [0x27])
        case .integer, .other: #expect("+-0123456789in".utf8.contains(head.first ?? 0))
        case .boolean(let flag): #expect(source.bytes[node.valueOffset...].starts(with: "\(flag)".utf8))
        case .array(let elements):
            // Elements stand in the order of the text; the first table of an array stands where its name does.
            let offsets = elements.map(\.valueOffset)
            #expect(offsets == offsets.sorted() && Set(offsets).count == offsets.count)
            for element in elements { check(element, source, &seen) }
        case .table(let children):
            for (key, child) in children {
                // A fallback would show as the place of another key.
                #expect(seen.insert(child.keyOffset).inserted, "\(key)")
                let written = source.bytes[child.keyOffset...]
                #expect(written.starts(with: key.utf8) && !key.isEmpty || written.first == 0x22 || written.first == 0x27, "\(key)")
                check(child, source, &seen)
            }
        }
    }

    @Test func aMissingEntryHasThePlaceOfItsTable() {
        let tree = Locator(SourceText("[a]\nb = [1]")).tree
        let a = tree.child("a", of: 0)
        #expect(a != nil && tree.child("nowhere", of: a) == nil && tree.child("b", of: nil) == nil)
        #expect(tree.element(1, of: tree.child("b", of: a)) == nil && tree.element(0, of: nil) == nil)
    }

    @Test func positionsAndOffsetsAreInverse() {
        let text = "α = 1\r\n\n" + String(repeating: "日本é𝄞x", count: 3000) + "\nlast"
        let source = SourceText(text)
        var (line, column, offset) = (1, 1, 0)
        for scalar in text.unicodeScalars {
            let position = source.position(of: offset, in: "f")
            if offset % 97 == 0 || scalar == "\n" {
                #expect(position == SourcePosition(file: "f", line: line, column: column))
                #expect(source.offset(line: line, column: column) == offset)
            }
            offset += String(scalar).utf8.count
            (line, column) = scalar == "\n" ? (line + 1, 1) : (line, column + 1)
        }
        #expect(source.position(of: .max, in: "f") == SourcePosition(file: "f", line: 4, column: 5))
        #expect(source.offset(line: 99, column: 99) == source.bytes.count)
        #expect(source.offset(line: 0, column: -5) == 0)
        // A block boundary right at the end of the text.
        #expect(SourceText(String(repeating: "x", count: 4096)).position(of: 4096, in: "f").column == 4097)
        #expect(SourceText("").position(of: 0, in: "f") == SourcePosition(file: "f", line: 1, column: 1))
    }

    @Test(arguments: [
        ("", "", 0), ("a", "", 1), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("ca", "abc", 3),
        ("listner", "listener", 1),
    ])
    func editDistances(left: String, right: String, distance: Int) {
        #expect(editDistance(Array(left.utf8), Array(right.utf8)) == distance)
        #expect(editDistance(Array(right.utf8), Array(left.utf8)) == distance)
    }

    @Test func quotingKeepsToOneLine() {
        #expect(quoted("a\nb\u{1B}[31m\u{202E}") == "\"a\\u{a}b\\u{1b}[31m\\u{202e}\"")
        #expect(quoted(String(repeating: "x", count: 65)) == "\"" + String(repeating: "x", count: 64) + "…\"")
    }
}
