import Testing
import TransparentSockets

@Suite struct SocketAddressTests {
    @Test(arguments: [
        ("192.0.2.1:80", "192.0.2.1", UInt16(80)), ("0.0.0.0:0", "0.0.0.0", 0), ("255.255.255.255:65535", "255.255.255.255", 65535),
        ("[::]:1081", "::", 1081), ("[2001:db8::1]:443", "2001:db8::1", 443),
    ])
    func readsAndPrints(text: String, address: String, port: UInt16) throws {
        let expected = SocketAddress(try #require(IPAddress(address)), port: port)
        #expect(SocketAddress(text) == expected)
        #expect(expected.description == text)
    }

    @Test(arguments: [
        "", ":", ":80", "80", "192.0.2.1", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:+1", "192.0.2.1: 80",
        "192.0.2.1:80 ",
        "[192.0.2.1]:80", "::1:80", "[::1]", "[::1]:", "[::1]80", "[::1", "::1]:80", "[]:80", "[::1%1]:80", "localhost:80",
        "192.0.2.1:http",
        "192.0.2.1:٨٠", "[[::1]]:80", "[::1]:80:80",
    ])
    func refuses(text: String) { #expect(SocketAddress(text) == nil) }

    @Test func printsTheZoneOfALinkLocalAddress() throws {
        let address = SocketAddress(try #require(IPAddress("fe80::1")), port: 80, scope: 3)
        #expect(address.description == "[fe80::1%3]:80")
    }

    @Test func rolesPrintTheirAddress() throws {
        let address = try #require(SocketAddress("192.0.2.1:80"))
        #expect(ListenAddress(address).description == "192.0.2.1:80")
        #expect(ClientAddress(address).description == "192.0.2.1:80")
        #expect(OriginalDestination(address).description == "192.0.2.1:80")
        #expect(UpstreamAddress(address).description == "192.0.2.1:80")
        #expect(LocalAddress(address).description == "192.0.2.1:80")
    }
}
