namespace Hydragen.Core;

/// <summary>How the next token is chosen from one row of logits; the default is greedy.</summary>
/// <param name="Temperature">Divides the logits; 0 takes the largest, the lowest token on ties.</param>
/// <param name="TopK">Keeps the k most probable tokens, the lowest on ties; 0 keeps all, 1 is greedy.</param>
/// <param name="TopP">Keeps the fewest most probable of those that together reach this share of their probability; 1 keeps all.</param>
/// <param name="MinP">Then keeps tokens at least this fraction as probable as the best one; 0 keeps all.</param>
/// <param name="Random">What is drawn: a number from 0 to less than 1.</param>
public readonly record struct TokenChoice(float Temperature, int TopK, float TopP, float MinP, double Random)
{
    /// <summary>Whether the largest logit always wins.</summary>
    public bool IsGreedy => Temperature == 0 || TopK == 1;

    /// <summary>Whether ranks cut tokens off.</summary>
    public bool CutsRanks => TopK > 1 || TopP < 1;

    /// <summary>Whether each of some rows is greedy.</summary>
    public static bool AreGreedy(ReadOnlySpan<TokenChoice> choices)
    {
        foreach (ref readonly TokenChoice choice in choices)
        {
            if (!choice.IsGreedy) return false;
        }
        return true;
    }
}
