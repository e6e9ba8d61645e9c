import Foundation
import Testing

extension Situations {
    /// Chromium without a window: a page with scripts and pictures that fetches something itself.
    @Suite struct HTTPBrowser {
        private static let pictures = 12

        /// Its text, once everything has come: how many pictures have a size, how long the fetched text is, and what a missing page is called.
        private static let page = """
            <!doctype html>
            <title>page</title>
            <script src="first.js"></script>
            <script src="second.js" defer></script>
            <body>
            <pre id="found">nothing</pre>
            <script>
            const picture = (number) => new Promise((resolve) => {
                const image = new Image();
                image.onload = () => resolve(image.naturalWidth);
                image.onerror = () => resolve(0);
                image.src = "dot.png?" + number;
            });
            addEventListener("load", async () => {
                const widths = await Promise.all(Array.from({ length: \(pictures) }, (_, number) => picture(number)));
                const text = await (await fetch("page")).text();
                const missing = await fetch("missing");
                document.getElementById("found").textContent =
                    [first, second, widths.filter((width) => width === 1).length, text.length, missing.status].join(" ");
            });
            </script>

            """
        private static let dot =
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="

        @Test(arguments: [HTTPPrograms.Place.intercepted, .interceptedV6, .forward, .reverse])
        func aPageWithAllThatBelongsToIt(place: HTTPPrograms.Place) throws {
            try play(place.variant, configuration: place.configuration) { stage in
                let site = try stage.startSite(.nginx)
                let scratch = site.scratch
                try scratch.write(Self.page, to: "www/browser.html", mode: 0o644)
                try scratch.write("const first = 'one';", to: "www/first.js", mode: 0o644)
                try scratch.write("const second = 'two';", to: "www/second.js", mode: 0o644)
                try #require(Data(base64Encoded: Self.dot)).write(to: URL(fileURLWithPath: site.folder + "/dot.png"))
                chmod(site.folder + "/dot.png", 0o644)
                let proxy = place == .forward ? "--proxy-server=http://\(Family.v4.servedURL)" : "--no-proxy-server"
                let finished = try stage.topology.client.finish(
                    [
                        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                        "--disable-background-networking", "--disable-component-update", "--disable-sync",
                        "--user-data-dir=\(scratch.file("chromium"))", proxy,
                        // Of the page's own clock, which stands while anything is fetched.
                        "--virtual-time-budget=10000", "--dump-dom", place.url(80, "browser.html"),
                    ], environment: ["HOME": scratch.path], limit: 60)
                #expect(
                    finished.output.contains("<pre id=\"found\">one two \(Self.pictures) \(Site.pageSize) 404</pre>"),
                    "\(finished.output)\(finished.errors)")
                // It asks for an icon as well, or not.
                let wanted = Self.pictures + 5
                let records = try stage.clearway.waitForRequests(wanted).filter { !$0.string("target").hasSuffix("favicon.ico") }
                #expect(records.count { $0.int("status") == 200 } == wanted - 1 && records.count { $0.int("status") == 404 } == 1)
                #expect(records.allSatisfy { $0.string("user_agent").contains("HeadlessChrome/") })
                #expect(records.count { $0.string("referer").hasSuffix("/browser.html") } == wanted - 1)
            }
        }
    }
}
