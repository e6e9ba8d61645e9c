import TestSupport
import Testing

@testable import Policy

@Suite struct PathTableTests {
    /// Against looking at each.
    @Test(arguments: 0..<10)
    func itFindsWhatLookingAtAllDoes(_ seed: UInt64) {
        var random = SplitMix(seed)
        func text() -> String {
            String(decoding: (0..<random.below(5)).map { _ in Array("ab".utf8)[random.below(2)] }, as: UTF8.self)
        }
        for _ in 0..<300 {
            let entries = (0..<random.below(8)).map { number in
                (path: PathPattern("/\(text())\(random.below(2) == 0 ? "*" : "")")!, value: Wildcard("\(number)")!)
            }
            let table = PathTable(entries)
            for _ in 0..<20 {
                let path = "/" + text()
                let asked = [UInt8](String(random.below(8)).utf8)
                let isThere = entries.contains { entry in
                    (entry.path.isPrefix ? path.hasPrefix(entry.path.start) : path == entry.path.start)
                        && entry.value.matches(asked)
                }
                #expect(table.contains(Array(path.utf8)) { $0.contains { $0.matches(asked) } } == isThere, "\(path) \(entries)")
            }
        }
    }

    /// By looking at each, seconds.
    @Test func manyURLsOfOneHostTakeNoTime() throws {
        var rule = Rule(action: .reject)
        rule.urls = try (0..<2_000).map { try URLPattern("http://a.b/some/path/\($0)\($0 % 2 == 0 ? "*" : "")") }
        let policy = Policy([rule])
        var query = Query(listener: "web", client: nil, destination: nil, port: 80, name: DomainName("a.b"))
        query.request = RequestFacts(method: "GET", target: "/some/path/x", authority: "a.b")
        let duration = ContinuousClock().measure {
            for _ in 0..<1_000 { #expect(policy.decide(query).action == .direct) }
        }
        #expect(duration < .seconds(2))
        query.request = RequestFacts(method: "GET", target: "/some/path/19987", authority: "a.b")
        #expect(policy.decide(query).action == .reject)
    }
}
