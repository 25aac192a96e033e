namespace Hydragen.Text.Expressions;

/// <summary>One step of a compiled expression.</summary>
/// <param name="Operation">What it does.</param>
/// <param name="Class">The class it looks at, for operations that look at a code point.</param>
/// <param name="Next">Where it goes on.</param>
/// <param name="Alternative">For <see cref="Operation.Fork"/>: where it goes on if <see cref="Next"/> leads to no match.</param>
internal readonly record struct Instruction(Operation Operation, CharacterClass? Class = null, int Next = 0, int Alternative = 0);
