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
            "<script>a</scripts></script>{url}", "<script><!-- x --></script>{url}",
            "<script><!-- x --> f('<script>')</script>{url}", "<script>a</script\u{C}x='>'>{url}",
            "<textarea><p x=\"{url}</textarea>",
            "<title>a <b x=\"</title><p>{url}", "<!DOCTYPE html><p>{url}", "</p x=\"'\">{url}", "<?x y>{url}",
            "<a href=\"{url}&x={name}\">", "<a href='page?u={url}'>", "<a href='mailto:a@b?subject={url}'>",
            "<a href='HTTPS://a/{url}'>", "<svg viewBox='0 0 1 1'><path d='M0 0'/></svg><p>{url}", "<svg><text>{name}</text></svg>",
            "<a href='/{name}'>", "<p title={client}>{name}", "<p class=x title='{name}'>", "<img alt='a'/title='{url}'>",
            "<img src='/pixel?u={url}'>", "<form action='https://a.example/ask?u={url}'>", "<p data-href={url}>",
            "<area href={url}>",
            "<svg><path d='M0 0'/></svg><!-- x --><p>{url}", "<math><mi>x</mi></math><a href='{url}'>{name}</a>",
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
            // The end of another element, or of a script within a comment within a script, is not its end.
            ("<script></scripts>{url}</script>", .code), ("<script>\"</script-x\"{url}</script>", .code),
            ("<script><!-- <script> </script>{url}--></script>", .code),
            ("<script><!--<script></script>--></script><p>{url}", .code),
            ("<style></styles>{url}", .code), ("<iframe>{url}</iframe>", .code), ("<plaintext></plaintext>{url}", .code),
            // What seems to be in a value is not, and the reverse.
            ("<!-- <b x=\" --><script>{url}</script>", .code), ("</p x='><b title=\"'><script>{url}", .code),
            ("<title><b x=\"</title><script>{url}", .code), ("<!x <b title=\"><script>{url}", .code),
            ("<!-- <script> -->{url}", .code), ("<!--- <b x='><!-- --><script>{url}'", .code),
            ("<a x\u{C}onclick='{url}'>", .attribute("onclick")),
            ("<a href='x'\u{C}onclick='{url}'>", .attribute("onclick")),
            // What is loaded, or run, is the page's to say.
            ("<script src=\"{url}\">", .attribute("src")), ("<script src='/x.js?u={url}'>", .attribute("src")),
            ("<svg><script xlink:href={url}>", .attribute("xlink:href")), ("<base href='{url}'>", .attribute("href")),
            ("<link rel=stylesheet href={url}>", .attribute("href")), ("<iframe src={url}>", .attribute("src")),
            ("<img src='{url}'>", .attribute("src")), ("<img srcset='/a?{url}'>", .attribute("srcset")),
            ("<object data={url}>", .attribute("data")), ("<form action='{url}'>", .attribute("action")),
            ("<button formaction='//a/{url}'>", .attribute("formaction")), ("<img src='/&#35;{url}'>", .attribute("src")),
            ("<meta http-equiv=refresh content='0;url={url}'>", .attribute("content")),
            ("<animate attributeName=href to='{url}'>", .attribute("to")),
            ("<a href='x:{url}'>", .scheme), ("<a href='java{url}'>", .scheme), ("<a href='&#106;avascript{url}'>", .scheme),
            ("<a href='javascript&colon;{url}'>", .scheme),
            // Browsers read these in other ways than they seem to be read.
            ("<img src=x alt/=\" onerror=g='{url}' \">", .attribute("onerror")),
            ("<svg><textarea><script>var u=\"{url}\"</script></textarea></svg>", .code), ("<svg><title><script>{url}", .code),
            ("<svg><![CDATA[><x y=\"]]><script>document.title='{url}'</script>\"></svg>", .code),
            ("<svg><style><image href=x onerror=\"</style>g='{url}'\">", .code), ("<math><title></title></math>{url}", .code),
            // Where a drawing ends depends on what is in it, and a set of frames has no other elements.
            ("<svg><svg></svg><textarea><script>var u='{url}'</script></textarea></svg>", .code),
            ("<svg></math><textarea><script>var u='{url}'</script></textarea></svg>", .code),
            ("<svg><math></math><title><script>var u='{url}'</script></title></svg>", .code),
            ("<svg><foreignObject><div></svg></div></foreignObject><textarea><script>var u='{url}'</script></textarea>", .code),
            ("<svg><svg></svg><style><image href=x onerror=\"</style>g='{url}'\">", .code),
            ("<svg><svg></svg><![CDATA[><x y=\"]]><script>document.title='{url}'</script>\"></svg>", .code),
            ("<frameset><textarea><frame src=\"{name}:{url}\">", .code), ("<svg></svg><style>p {}</style><p>{url}", .code),
            ("<img src=x attributionsrc='{url}'>", .attribute("attributionsrc")),
            ("<noscript><p title=\"</noscript><img src=x onerror=g='{url}'>\"></noscript>", .code),
            ("<select><title><script>{url}", .code),
            ("<!-- {url} -->", .code), ("<!--{rule}> <x y=\"--><img src=x onerror=g='{url}'>\">", .code),
            ("<!{rule}-- <x y=\"><img src=x onerror=g='{url}'>\">-->", .code),
            ("<!-- <z w=\"{url}><img src=x onerror=g='{url}'>\"> -->", .code),
            ("<a href=\"{name}:{url}\">", .scheme), ("<area href=\"{name}&colon;{url}\">", .scheme), ("<a href='{rule}'>", .scheme),
            ("<a title={name} \"x=\"' onclick={url} '\">x</a>", .tag), ("<p title=x{name}>", .tag),
            ("<script type={url}>", .attribute("type")), ("<link rel='{url}'>", .attribute("rel")),
            ("<iframe sandbox='{url}'>", .attribute("sandbox")), ("<param value='{url}'>", .attribute("value")),
        ]
        for (page, fault) in rows { #expect(place(page) == fault, "\(page)") }
    }
}
