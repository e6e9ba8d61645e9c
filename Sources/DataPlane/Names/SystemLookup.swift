internal import CResolver
internal import Glibc
internal import Policy
internal import TransparentSockets

/// Why a name has no addresses.
enum LookupFailure: Error, Hashable, Sendable {
    /// The name does not exist, or has no address: the answer is sure.
    case noSuchName
    /// No answer was to be had; the reason in the resolver's words.
    case failed(String)
}

/// Asks the system for a name's addresses, as any other program of this host would: by nsswitch.conf(5), so by `/etc/hosts` first.
/// But without the search list of resolv.conf(5): with `search example.com`, `shut` would be looked up as `shut.example.com`, and pass
/// by a rule for that name. Waits for as long as the system does, which is 10 seconds and more for each name server that is silent.
///
/// Changes how the calling thread looks up names.
func lookUp(_ name: DomainName) throws(LookupFailure) -> [IPAddress] {
    guard cr_take_names_whole() == 0 else { throw .failed("the system's resolver cannot be used") }
    do throws(ResolutionError) {
        return try addresses(of: name.description)
    } catch {
        throw LookupFailure(error)
    }
}

extension LookupFailure {
    init(_ error: ResolutionError) { self = noSuchNameReasons.contains(error.reason) ? .noSuchName : .failed(error.reason) }
}

/// `addresses(of:)` tells reasons in getaddrinfo's words and not its numbers; the same function tells which words these are,
/// whatever the language.
private let noSuchNameReasons: Set<String> = [EAI_NONAME, noData, noAddressOfFamily].reduce(into: []) { reasons, code in
    reasons.insert(String(cString: gai_strerror(code)))
}

/// EAI_NODATA and EAI_ADDRFAMILY of glibc, which has them behind _GNU_SOURCE, and so out of Swift's sight: the name exists, and
/// has no address, or none of a family that this host has.
private let noData: Int32 = -5
private let noAddressOfFamily: Int32 = -9
