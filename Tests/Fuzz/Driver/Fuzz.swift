import FuzzTargets
import Glibc

// Runs one target under libFuzzer; `make fuzz` builds this and names the targets by FUZZ_TARGET.

private let target: FuzzTarget = {
    let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
        fatalError("FUZZ_TARGET: one of \(FuzzTarget.all.map(\.name))")
    }
    return target
}()

/// libFuzzer's own entry (compiler-rt, `FuzzerInterface.h`).
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main
private enum Fuzz {
    static func main() {
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        exit(
            runDriver(&count, &arguments) { start, count in
                if let fault = target.check(Array(UnsafeBufferPointer(start: start, count: count))) {
                    fatalError("\(target.name): \(fault)")
                }
                return 0
            })
    }
}
