using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>How the next token is chosen from the logits. Applied in the order of the properties. Immutable.</summary>
public sealed record SamplingOptions
{
    /// <summary>Always the most probable token.</summary>
    public static SamplingOptions Greedy { get; } = new() { Temperature = 0 };

    /// <summary>Divides positive and multiplies negative logits of tokens that already occurred; 1 changes nothing.</summary>
    public float RepetitionPenalty { get; init; } = 1;

    /// <summary>Subtracted from the logit of a token once for each time it was generated.</summary>
    public float FrequencyPenalty { get; init; }

    /// <summary>Subtracted from the logit of a token that was generated at least once.</summary>
    public float PresencePenalty { get; init; }

    /// <summary>Divides the logits; 0 is greedy.</summary>
    public float Temperature { get; init; } = 1;

    /// <summary>Keeps the k most probable tokens; 0 keeps all.</summary>
    public int TopK { get; init; }

    /// <summary>Keeps the fewest most probable tokens that together reach this probability; 1 keeps all.</summary>
    public float TopP { get; init; } = 1;

    /// <summary>Keeps tokens at least this fraction as probable as the best one; 0 keeps all.</summary>
    public float MinP { get; init; }

    /// <summary>Whether a token's history changes its logit.</summary>
    internal bool HasPenalties => RepetitionPenalty != 1 || FrequencyPenalty != 0 || PresencePenalty != 0;

    /// <summary>Whether the largest logit, after penalties, always wins.</summary>
    internal bool IsGreedy => Temperature == 0 || TopK == 1;

    /// <summary>How one token is chosen, penalties aside.</summary>
    internal TokenChoice Choice(double random) => IsGreedy ? default : new TokenChoice(Temperature, TopK, TopP, MinP, random);

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="ArgumentOutOfRangeException">A value is outside its range; the message names it.</exception>
    public void Validate()
    {
        Check(float.IsFinite(RepetitionPenalty) && RepetitionPenalty > 0, nameof(RepetitionPenalty), RepetitionPenalty, "a finite number above 0");
        Check(float.IsFinite(FrequencyPenalty), nameof(FrequencyPenalty), FrequencyPenalty, "a finite number");
        Check(float.IsFinite(PresencePenalty), nameof(PresencePenalty), PresencePenalty, "a finite number");
        Check(float.IsFinite(Temperature) && Temperature >= 0, nameof(Temperature), Temperature, "a finite number, 0 or more");
        Check(TopK >= 0, nameof(TopK), TopK, "0 (off) or a count");
        Check(TopP is > 0 and <= 1, nameof(TopP), TopP, "above 0 and at most 1");
        Check(MinP is >= 0 and <= 1, nameof(MinP), MinP, "between 0 and 1");
    }

    private static void Check(bool valid, string name, object value, string rule)
    {
        if (!valid) throw new ArgumentOutOfRangeException(name, value, $"{name} must be {rule}.");
    }
}
