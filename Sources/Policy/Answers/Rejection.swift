/// What a client of HTTP hears of a rule that rejects its request. Who speaks something else hears nothing of it.
public indirect enum Rejection: Hashable, Sendable {
    /// A page of the program's own.
    case standard(status: Int)
    case page(Page, status: Int)
    /// It is sent elsewhere.
    case redirect(to: Template, status: Int)

    /// A page of the operator's.
    public struct Page: Hashable, Sendable {
        public let template: Template
        /// Else it is plain text.
        public let isHTML: Bool
        /// The file that it came from.
        public let file: String

        public init(_ template: Template, isHTML: Bool, file: String) {
            self.template = template
            self.isHTML = isHTML
            self.file = file
        }
    }
}
