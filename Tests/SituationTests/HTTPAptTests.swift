import Foundation
import Testing

extension Situations {
    /// Debian's apt, which asks for ten packages before it has the first.
    @Suite struct HTTPApt {
        private static let packages = (1...20).map { "clearway-test-\($0)" }

        /// Makes packages of different sizes, and the list of them.
        private static func makeRepository(_ site: Site, _ host: Namespace) throws {
            let scratch = site.scratch
            try FileManager.default.createDirectory(atPath: site.folder + "/debian", withIntermediateDirectories: true)
            var list = ""
            for (number, name) in packages.enumerated() {
                let control =
                    "Package: \(name)\nVersion: 1\nArchitecture: all\nMaintainer: me <me@site.test>\nDescription: a test\n"
                let tree = "package-\(number)"
                try FileManager.default.createDirectory(atPath: scratch.file("\(tree)/DEBIAN"), withIntermediateDirectories: true)
                try scratch.write(control, to: "\(tree)/DEBIAN/control", mode: 0o644)
                _ = try site.digest(ofNew: "\(tree)/noise", 1 + number * number * 1_000, in: host)
                let file = "\(site.folder)/debian/\(name).deb"
                try host.require(["dpkg-deb", "--root-owner-group", "-Znone", "--build", scratch.file(tree), file])
                let size = try #require(try FileManager.default.attributesOfItem(atPath: file)[.size] as? Int)
                let digest = try host.require(["sha256sum", file]).prefix(64)
                list += control + "Filename: ./\(name).deb\nSize: \(size)\nSHA256: \(digest)\n\n"
            }
            try scratch.write(list, to: "www/debian/Packages", mode: 0o644)
        }

        @Test(arguments: [HTTPPrograms.Place.intercepted, .interceptedV6, .forward, .reverse])
        func updateAndDownload(place: HTTPPrograms.Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx)
                let scratch = site.scratch
                try Self.makeRepository(site, stage.topology.server)
                for folder in ["etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "cache/archives/partial", "got"] {
                    try FileManager.default.createDirectory(
                        atPath: scratch.file("apt/\(folder)"), withIntermediateDirectories: true)
                }
                try scratch.write("deb [trusted=yes] \(place.url(80, "debian")) ./\n", to: "apt/etc/apt/sources.list")
                try scratch.write("", to: "apt/status")
                // What this host's own apt is told must not count.
                let configuration = try scratch.write(
                    """
                    Dir "\(scratch.file("apt"))";
                    Dir::State::Lists "\(scratch.file("apt/lists"))";
                    Dir::State::status "\(scratch.file("apt/status"))";
                    Dir::Cache "\(scratch.file("apt/cache"))";
                    APT::Sandbox::User "root";
                    Acquire::Languages "none";
                    Acquire::Retries "0";
                    \(place == .forward ? "Acquire::http::Proxy \"http://\(Family.v4.servedURL)\";" : "")
                    """, to: "apt.conf")
                func apt(_ arguments: [String]) throws {
                    let finished = try stage.topology.client.finish(
                        ["sh", "-c", #"cd "$0" && exec "$@""#, scratch.file("apt/got"), "apt-get", "-q"] + arguments,
                        environment: ["APT_CONFIG": configuration, "http_proxy": ""])
                    #expect(finished.succeeded, "\(arguments): \(finished.output)\(finished.errors)")
                }
                try apt(["update"])
                try apt(["download"] + Self.packages)
                for name in Self.packages {
                    let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch.file("apt/got"))) ?? []
                    let got = try #require(names.first { $0.hasPrefix(name + "_") }, "\(name) of \(names)")
                    #expect(
                        FileManager.default.contentsEqual(
                            atPath: scratch.file("apt/got/\(got)"), andPath: "\(site.folder)/debian/\(name).deb"))
                }
                try waitUntil("a record of each package") {
                    try stage.clearway.records("request").count { $0.string("target").hasSuffix(".deb") } >= Self.packages.count
                }
                let records = try stage.clearway.records("request").filter { $0.string("target").hasSuffix(".deb") }
                #expect(records.count == Self.packages.count && records.allSatisfy { $0.int("status") == 200 })
                // One behind the other.
                #expect(Set(records.map { $0.string("client") }).count == 1)
                #expect(try stage.clearway.records("request").contains { $0.string("target").hasSuffix("/Packages") })
            }
        }
    }
}
