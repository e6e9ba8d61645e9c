import Policy
import Testing

@Suite struct PlacesInHTMLTests {
    private func place(_ page: String) -> Template.UnsafePlace? { Template(page)!.unsafePlaceInHTML }

    @Test func textAndValuesAreSafe() {
        for page in [
            "{url}", "<p>{url}</p>", "<a href={url}>{name}</a>", "<a href='{url}' title=\"A &amp; B {url}\">",
            "<a href=\"/x?a=1&amp;b={url}\">",
            "<script>x</script>{url}", "<STYLE>p { color: red }</STYLE ><p class=a>{url}", "a < b {url}", "1 <2 {url}",
            "<!-- x --><br/>{url}",
            "<script src=x></script><input value={url} disabled>", "<a onclick=\"x()\" title=\"{url}\">", "<p>onclick={url}",
            "no place",
            "<p>javascript: {url}", "<scripts>{url}</scripts>", "<img alt='{url}'onclick='x'>", "<title>{url}</title>",
        ] { #expect(place(page) == nil, "\(page)") }
    }

    @Test func othersAreNot() {
        let rows: [(String, Template.UnsafePlace)] = [
            ("<script>var u = '{url}'</script>", .code), ("<SCRIPT\n src=x>{url}", .code), ("<script></scrip>{url}", .code),
            ("<style>p { background: url({url}) }</style>", .code), ("<script><p></p>{url}", .code), ("<script/>{url}", .code),
            ("<a onclick=\"f('{url}')\">", .attribute("onclick")), ("<a href=x ONLOAD = {url}>", .attribute("onload")),
            ("<img src='x'onerror='{url}'>", .attribute("onerror")), ("<p title='>' onclick='{url}'>", .attribute("onclick")),
            ("<p style='{url}'>", .attribute("style")), ("<iframe srcdoc=\"{url}\">", .attribute("srcdoc")),
            ("<svg/onload={url}>", .attribute("onload")),
            ("<a href=\"javascript:f('{url}')\">", .scheme), ("<a href=' Java\nScript:{url}'>", .scheme),
            ("<a href='java&#115;cript:{url}'>", .scheme), ("<a href='data:text/html,{url}'>", .scheme),
            ("<{url}>", .tag), ("<a {url}>", .tag), ("<a {url}=x>", .tag), ("<a x{name}>", .tag), ("<a href='x' {url}>", .tag),
            ("<p>{url}</p><script>{name}</script>", .code), ("<!--><script>{url}</script>-->", .code),
        ]
        for (page, fault) in rows { #expect(place(page) == fault, "\(page)") }
    }
}
