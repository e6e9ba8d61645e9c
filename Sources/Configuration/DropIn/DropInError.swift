/// Why the configuration of a program that Clearway stands in for cannot be used, in that program's words.
public struct DropInError: Error, Sendable, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
