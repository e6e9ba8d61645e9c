import Protocols
import Testing

@Suite struct ServedProtocolTests {
    @Test func theFirstByteTells() {
        for byte in UInt8.min...UInt8.max {
            switch (byte, ServedProtocol(firstByte: byte)) {
            case (4, .socks), (5, .socks), (UInt8(ascii: "A")...UInt8(ascii: "Z"), .http): break
            case (4, _), (5, _), (UInt8(ascii: "A")...UInt8(ascii: "Z"), _): Issue.record("byte \(byte)")
            case (_, .foreign(let guess)): #expect(!guess.isEmpty)
            default: Issue.record("byte \(byte)")
            }
        }
        #expect(ServedProtocol(firstByte: 0x16) == .foreign("TLS"))
        #expect(ServedProtocol(firstByte: 0x0D) == .foreign("a PROXY header, version 2"))
        #expect(ServedProtocol(firstByte: UInt8(ascii: "c")) == .foreign("text"))
        #expect(ServedProtocol(firstByte: 0) == .foreign("first byte 0"))
    }

    @Test func credentialsAreNotPrinted() {
        let credentials = ServedCredentials(user: [109, 101], password: [115])
        #expect("\(ServingStep.authenticate(credentials))" == "authenticate(credentials)")
    }
}
