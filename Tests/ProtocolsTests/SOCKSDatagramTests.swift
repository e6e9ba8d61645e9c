import Protocols
import TestSupport
import Testing
import TransparentSockets

@Suite struct SOCKSDatagramTests {
    @Test(arguments: [
        ("192.0.2.1:53", [0, 0, 0, 1, 192, 0, 2, 1, 0, 53] as [UInt8]),
        ("[2001:db8::1]:443", [0, 0, 0, 4, 0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 187]),
    ])
    func anAddressIsReadAsItIsWritten(text: String, bytes: [UInt8]) throws {
        let address = try #require(SocketAddress(text))
        #expect(SOCKSDatagram.header(address) == bytes)
        let target = ProxyTarget(.address(address.address), port: address.port)
        #expect(SOCKSDatagram.read((bytes + [1, 2, 3]).span) == .datagram(target, header: bytes.count))
        // Nothing in it is a datagram too.
        #expect(SOCKSDatagram.read(bytes.span) == .datagram(target, header: bytes.count))
        for length in 0..<bytes.count { #expect(SOCKSDatagram.read(Array(bytes.prefix(length)).span) == .none(.short)) }
    }

    @Test func aNameIsRead() {
        let bytes: [UInt8] = [0, 0, 0, 3, 9] + Array("a.example".utf8) + [0, 53]
        #expect(SOCKSDatagram.read(bytes.span) == .datagram(ProxyTarget(.name("a.example"), port: 53), header: 16))
        for length in 0..<bytes.count { #expect(SOCKSDatagram.read(Array(bytes.prefix(length)).span) == .none(.short)) }
    }

    @Test func aMappedAddressIsAnIPv4One() throws {
        let bytes: [UInt8] = [0, 0, 0, 4] + [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF, 192, 0, 2, 1, 0, 53]
        let expected = ProxyTarget(.address(try #require(IPAddress("192.0.2.1"))), port: 53)
        #expect(SOCKSDatagram.read(bytes.span) == .datagram(expected, header: 22))
    }

    @Test(
        arguments: [
            ([0, 1, 0, 1, 192, 0, 2, 1, 0, 53], .reserved), ([1, 0, 0, 1, 192, 0, 2, 1, 0, 53], .reserved),
            ([0, 0, 1, 1, 192, 0, 2, 1, 0, 53], .fragment), ([0, 0, 0x7F, 1, 192, 0, 2, 1, 0, 53], .fragment),
            ([0, 0, 0x80, 1, 192, 0, 2, 1, 0, 53], .fragment), ([0, 0, 0xFF, 1, 192, 0, 2, 1, 0, 53], .fragment),
            ([0, 0, 0, 0, 192, 0, 2, 1, 0, 53], .addressType), ([0, 0, 0, 2, 192, 0, 2, 1, 0, 53], .addressType),
            ([0, 0, 0, 0xFF, 192, 0, 2, 1, 0, 53], .addressType), ([0, 0, 0, 1, 192, 0, 2, 1, 0, 0], .port),
            ([0, 0, 0, 3, 0, 0, 53], .host), ([0, 0, 0, 3, 3, 0x61, 0, 0x62, 0, 53], .host),
            ([0, 0, 0, 3, 3, 0x61, 0x2F, 0x62, 0, 53], .host), ([0, 0, 0, 3, 255, 0x61], .short),
        ] as [([UInt8], SOCKSDatagram.Fault)])
    func whatIsNoneSaysWhy(bytes: [UInt8], fault: SOCKSDatagram.Fault) {
        #expect(SOCKSDatagram.read(bytes.span) == .none(fault))
    }
}
