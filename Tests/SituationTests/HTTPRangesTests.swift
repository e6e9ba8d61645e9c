import Foundation
import Testing

extension Situations {
    /// Parts of a page: the beginning, the end, several at once, what lies behind the end, and only if nothing has changed.
    @Suite struct HTTPRanges {
        @Test(arguments: HTTPPrograms.Place.allCases)
        func partsOfAPage(place: HTTPPrograms.Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx, .apache, .lighttpd)
                let page = try site.page
                let got = site.scratch.file("got")
                let servers = [WebServer.nginx, .apache, .lighttpd]
                for server in servers {
                    func part(_ range: String, _ more: String...) throws -> (status: String, body: Data) {
                        let finished = try stage.topology.client.finish(
                            place.curl + ["-H", "Range: bytes=\(range)", "-w", "%{http_code}", "-o", got] + more
                                + [place.url(server.port, "page")])
                        return (finished.output, try Data(contentsOf: URL(fileURLWithPath: got)))
                    }
                    for (range, place) in [("0-9", 0..<10), ("299990-", 299_990..<300_000), ("-5", 299_995..<300_000)] {
                        let (status, body) = try part(range)
                        #expect(status == "206" && body == page[place], "\(server): \(range)")
                    }
                    let several = try part("10-19,200000-200029")
                    let text = String(decoding: several.body, as: UTF8.self)
                    #expect(
                        several.status == "206" && text.lowercased().contains("\r\ncontent-range: bytes 10-19/300000\r\n"),
                        "\(server): \(text)")
                    for place in [10..<20, 200_000..<200_030] {
                        #expect(text.contains(String(decoding: page[place], as: UTF8.self)), "\(server): \(text)")
                    }
                    #expect(try part("300000-").status == "416", "\(server)")
                    let changed = try part("0-9", "-H", "If-Range: \"another\"")
                    #expect(changed.status == "200" && changed.body == page, "\(server)")
                }
                let statuses = try stage.clearway.waitForRequests(6 * servers.count).map { $0.int("status") }
                #expect(statuses == servers.flatMap { _ in [206, 206, 206, 206, 416, 200] })
            }
        }
    }
}
