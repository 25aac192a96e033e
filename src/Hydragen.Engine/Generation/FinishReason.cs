namespace Hydragen.Engine;

/// <summary>Why a completion ended.</summary>
public enum FinishReason
{
    /// <summary>An end-of-sequence token or a stop string was reached.</summary>
    Stop,

    /// <summary>The token limit or the model's context was reached.</summary>
    Length,
}
