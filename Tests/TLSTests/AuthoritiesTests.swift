import TLS
import TestSupport
import Testing

/// Certificates of authorities, as a file holds them.
@Suite struct AuthoritiesTests {
    private func refusal(_ pem: [UInt8]) -> String? {
        do throws(TLSError) {
            _ = try Authorities(pem: pem)
            return nil
        } catch {
            return error.description
        }
    }

    @Test func oneAndSeveral() throws {
        #expect(try Authorities(pem: Array(authorityPEM.utf8)).count == 1)
        let several = "# ours\n\(authorityPEM)\nsubject=CN = another\n\(authorityPEM)# and no more\n"
        #expect(try Authorities(pem: Array(several.utf8)).count == 2)
        #expect(try Authorities(pem: Array(authorityPEM.replacing("\n", with: "\r\n").utf8)).count == 1)
    }

    @Test func theSameBytesAreTheSameAuthorities() throws {
        let one = try Authorities(pem: Array(authorityPEM.utf8))
        #expect(try Trust.authorities(one) == .authorities(Authorities(pem: Array(authorityPEM.utf8))))
        #expect(try Trust.authorities(one) != .authorities(Authorities(pem: Array("\n\(authorityPEM)".utf8))))
    }

    @Test(arguments: ["", "no certificate\n", "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "\0\0"])
    func none(_ text: String) { #expect(refusal(Array(text.utf8)) == "there is no certificate in it") }

    @Test(arguments: [
        authorityPEM.replacing("MIIBhTCC", with: "MIIBhTCD"), authorityPEM.replacing("MIIB", with: "M!IB"),
        authorityPEM.replacing("-----END CERTIFICATE-----", with: ""),
        authorityPEM + authorityPEM.replacing("END CERTIFICATE", with: "END CERT"),
    ])
    func brokenOnes(_ text: String) {
        #expect(refusal(Array(text.utf8))?.hasPrefix("a certificate in it is broken: ") == true)
    }

    /// A file that was not written to its end must not look like a shorter one.
    @Test func everyTruncation() throws {
        let one = Array(authorityPEM.utf8)
        let begin = "-----BEGIN CERTIFICATE-----".utf8.count
        for length in 0..<2 * one.count {
            let pem = Array((one + one)[..<length])
            // Of the last one; the line feed at its end may be missing.
            let rest = length % one.count
            let whole = length / one.count + (rest == one.count - 1 ? 1 : 0)
            if whole > 0, rest < begin || rest == one.count - 1 {
                #expect(try Authorities(pem: pem).count == whole, "\(length)")
            } else {
                #expect(refusal(pem) != nil, "\(length)")
            }
        }
    }

    /// Whatever is in the file, it is certificates or it is refused in words.
    @Test func mutations() {
        var random = SplitMix(7)
        var good = 0
        for _ in 0..<5_000 {
            var pem = Array((authorityPEM + authorityPEM).utf8)
            random.mutate(&pem)
            if let refusal = refusal(pem) { #expect(refusal != "") } else { good += 1 }
        }
        // Both are tested.
        #expect((1..<5_000).contains(good))
    }
}
