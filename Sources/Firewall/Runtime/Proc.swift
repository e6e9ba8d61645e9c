internal import CSockets
internal import Glibc
internal import TransparentSockets

/// The text of a small file, at most 1 MiB; `nil` when it cannot be read.
package func fileText(_ path: String) -> String? {
    let raw = cs_open(path, O_RDONLY, 0)
    guard raw >= 0 else { return nil }
    let file = Descriptor(owning: raw)
    var bytes: [UInt8] = []
    while bytes.count < 1 << 20, let more = readSome(file.raw) { bytes += more }
    return String(decoding: bytes, as: UTF8.self)
}

/// 0, or the errno.
func writeFile(_ path: String, _ text: String, create: Bool = false) -> Int32 {
    let raw = cs_open(path, create ? O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW : O_WRONLY, 0o600)
    guard raw >= 0 else { return -raw }
    let file = Descriptor(owning: raw)
    let bytes = Array(text.utf8)
    let written = cs_write(file.raw, bytes, bytes.count)
    return written == bytes.count ? 0 : Int32(-written)
}

/// A setting of the calling thread's network namespace, without its line end.
func sysctl(_ name: String) -> String? {
    fileText(sysctlPath(name)).map { String($0.prefix { $0 != "\n" }) }
}

func sysctlPath(_ name: String) -> String { "/proc/sys/" + name.split(separator: ".").joined(separator: "/") }

/// Whether this network namespace has IPv6 at all; `nil` when it has, else why not.
func missingIPv6() -> String? {
    if access("/proc/thread-self/net/if_inet6", F_OK) != 0 { return "the kernel has no IPv6" }
    // The route that delivers intercepted packets goes through lo.
    return sysctl("net.ipv6.conf.lo.disable_ipv6") == "1" ? "net.ipv6.conf.lo.disable_ipv6 is 1" : nil
}

/// Whether this host forwards packets of either family.
public func isForwarding() -> Bool {
    sysctl("net.ipv4.ip_forward") == "1" || sysctl("net.ipv6.conf.all.forwarding") == "1"
}
