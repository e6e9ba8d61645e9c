import Testing

@testable import Policy

@Suite struct TemplateTests {
    private static let hostile = "http://a/?q=<script>alert('1')</script>&x=\"y\" \u{0}\r\n\u{7F}\u{85}\u{202E}é`${z}\\"

    private func filled(_ text: String, _ escaping: Template.Escaping, _ value: String = hostile) -> String {
        Template(text)!.filled(escaping) { "\($0)=\(value)" }
    }

    @Test func placesAreFilledIn() {
        let template = Template("a{url}{client} {name}-{rule}.")!
        #expect(template.filled(.plain) { "[\($0)]" } == "a[url][client] [name]-[rule].")
        #expect(template.source == "a{url}{client} {name}-{rule}.")
        // What is filled in is not looked at again.
        #expect(Template("{url}")!.filled(.plain) { _ in "{client}" } == "{client}")
    }

    @Test func otherBracesAreText() {
        for text in ["", "{", "}", "{}", "body { color: red }", "{uri}", "{ url }", "{{", "{url", "{URL}", "é{"] {
            #expect(Template(text)?.filled(.plain) { _ in "!" } == text)
        }
        #expect(Template("{{url}}")?.filled(.plain) { _ in "!" } == "{!}")
        #expect(Template(String(repeating: "{url}", count: 8)) != nil && Template(String(repeating: "{url}", count: 9)) == nil)
    }

    /// Nothing that a stranger wrote is more than text.
    @Test func whatIsFilledInIsEscaped() {
        let html = filled("<a href={url}>", .html)
        let inside = html.dropFirst("<a href=".count).dropLast()
        #expect(inside.utf8.allSatisfy { !"<>\"'`= \\${}()".utf8.contains($0) && $0 >= 0x20 && $0 != 0x7F })
        #expect(inside.contains("&#60;script&#62;alert") && inside.contains("é") && inside.contains("&#38;x&#61;&#34;y&#34;"))
        #expect(!inside.unicodeScalars.contains("\u{202E}") && !inside.unicodeScalars.contains("\u{85}"))

        let plain = filled("{url}", .plain)
        #expect(plain == "url=http://a/?q=<script>alert('1')</script>&x=\"y\" é`${z}\\")

        let url = filled("https://b/?{url}", .url)
        #expect(
            url
                == "https://b/?url%3Dhttp%3A%2F%2Fa%2F%3Fq%3D%3Cscript%3Ealert%28%271%27%29%3C%2Fscript%3E%26x%3D%22y%22%20%00%0D%0A"
                + "%7F%C2%85%E2%80%AE%C3%A9%60%24%7Bz%7D%5C")
    }
}
