namespace Hydragen.Engine;

/// <summary>One new token of one completion, as it is streamed.</summary>
/// <param name="InputIndex">Which prompt: its index in the list given, or the index of its leaf in depth-first order.</param>
/// <param name="SampleIndex">Which completion of the prompt.</param>
/// <param name="TokenId">The token.</param>
/// <param name="Text">
/// Text that became certain with this token; empty while a character or a possible stop string is incomplete. Null when the
/// model has no tokenizer.
/// </param>
/// <param name="LogProbability">Natural-log probability of the token, when asked for.</param>
/// <param name="Result">The whole completion, on its last token only.</param>
public sealed record GenerationUpdate(
    int InputIndex, int SampleIndex, int TokenId, string? Text, float? LogProbability, GenerationResult? Result);
