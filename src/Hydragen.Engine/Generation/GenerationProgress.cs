namespace Hydragen.Engine;

/// <summary>How far a call has come.</summary>
/// <param name="PromptTokensDone">Prompt tokens computed, shared ones counted once.</param>
/// <param name="PromptTokens">Prompt tokens to compute.</param>
/// <param name="CompletionsDone">Completions that ended.</param>
/// <param name="Completions">Completions asked for.</param>
/// <param name="NewTokens">Tokens generated so far.</param>
public readonly record struct GenerationProgress(
    long PromptTokensDone, long PromptTokens, int CompletionsDone, int Completions, long NewTokens);
