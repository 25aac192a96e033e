using System.Text;

namespace Hydragen.Engine;

/// <summary>Finds stop strings in text that arrives in pieces and holds back what may be the beginning of one.</summary>
internal sealed class StopStringMatcher(IReadOnlyList<string> stopStrings)
{
    private readonly StringBuilder _held = new();

    /// <summary>Whether a stop string was found; nothing more may be appended.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Adds a piece; returns the text that is certain not to belong to a stop string.</summary>
    public string Append(string piece)
    {
        if (stopStrings.Count == 0) return piece;
        _held.Append(piece);
        string text = _held.ToString();
        int first = -1;
        foreach (string stop in stopStrings)
        {
            int index = text.IndexOf(stop, StringComparison.Ordinal);
            if (index >= 0 && (first < 0 || index < first)) first = index;
        }
        if (first >= 0)
        {
            IsStopped = true;
            _held.Clear();
            return text[..first];
        }
        int numHeld = 0;
        foreach (string stop in stopStrings) numHeld = Math.Max(numHeld, LongestHeldBack(text, stop));
        _held.Clear().Append(text, text.Length - numHeld, numHeld);
        return text[..^numHeld];
    }

    /// <summary>Returns what was held back, when no more text comes.</summary>
    public string Flush()
    {
        string text = _held.ToString();
        _held.Clear();
        return text;
    }

    /// <summary>The longest end of the text that is a beginning of the stop string.</summary>
    private static int LongestHeldBack(string text, string stop)
    {
        for (int length = Math.Min(text.Length, stop.Length - 1); length > 0; length--)
        {
            if (text.AsSpan(text.Length - length).SequenceEqual(stop.AsSpan(0, length))) return length;
        }
        return 0;
    }
}
