namespace Hydragen.Cli.Demo;

/// <summary>What may stand in a placeholder.</summary>
/// <param name="Name">The placeholder's name.</param>
/// <param name="Form">How a value is made; its placeholders name word lists.</param>
/// <param name="HasCast">Whether a document draws its values from a small cast of its own, so that they recur.</param>
/// <param name="CastOf">The slot whose cast it shares, never with the same member in one sentence; or null.</param>
internal sealed record GrammarSlot(string Name, Template Form, bool HasCast, string? CastOf);
