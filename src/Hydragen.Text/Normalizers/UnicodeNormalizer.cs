using System.Runtime.InteropServices;
using System.Text;

namespace Hydragen.Text.Normalizers;

/// <summary>The Unicode normalization forms (Unicode Standard Annex 15), in time linear but for sorting runs of marks.</summary>
/// <param name="composes">Whether the form is NFC or NFKC.</param>
/// <param name="isCompatible">Whether the form is NFKC or NFKD.</param>
internal sealed class UnicodeNormalizer(bool composes, bool isCompatible) : Normalizer
{
    // Hangul syllables are laid out by leading consonant, vowel and trailing consonant.
    private const int SyllableBase = 0xAC00;
    private const int LeadingBase = 0x1100;
    private const int VowelBase = 0x1161;
    private const int TrailingBase = 0x11A7;
    private const int NumLeading = 19;
    private const int NumVowels = 21;
    private const int NumTrailing = 28;
    private const int NumSyllables = NumLeading * NumVowels * NumTrailing;

    // Below U+00A0 there is nothing to normalize; most text needs no table at all.
    private const char FirstActive = '\u00A0';

    // U+0390 and U+FDFA are the characters with the longest decompositions.
    public override long Growth => isCompatible ? 18 : 4;

    public override string Apply(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange(FirstActive, '\uFFFF') < 0)
            return text;
        NormalizationData data = NormalizationData.Shared;
        int numInert = 0;
        while (numInert < text.Length && data.IsInert(text[numInert]))
            numInert++;
        if (numInert == text.Length)
            return text;

        List<int> codePoints = Decompose(text, data);
        SortMarks(codePoints, data);
        if (composes)
            Compose(codePoints, data);
        return ToText(codePoints);
    }

    private List<int> Decompose(string text, NormalizationData data)
    {
        List<int> output = new(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
        {
            int syllable = rune.Value - SyllableBase;
            ReadOnlySpan<int> parts = data.Decomposition(rune.Value, isCompatible);
            if (parts.Length > 0)
            {
                output.AddRange(parts);
            }
            else if ((uint)syllable < NumSyllables)
            {
                output.Add(LeadingBase + syllable / (NumVowels * NumTrailing));
                output.Add(VowelBase + syllable / NumTrailing % NumVowels);
                if (syllable % NumTrailing != 0)
                    output.Add(TrailingBase + syllable % NumTrailing);
            }
            else
            {
                output.Add(rune.Value);
            }
        }

        return output;
    }

    /// <summary>Sorts each run of marks by combining class; marks of one class keep their order.</summary>
    private static void SortMarks(List<int> codePoints, NormalizationData data)
    {
        Span<int> values = CollectionsMarshal.AsSpan(codePoints);
        for (int start = 0; start < values.Length; start++)
        {
            int combiningClass = data.CombiningClass(values[start]);
            if (combiningClass == 0)
                continue;
            int end = start;
            bool isSorted = true;
            for (int previous = 0; end < values.Length && (combiningClass = data.CombiningClass(values[end])) != 0; end++)
            {
                isSorted &= previous <= combiningClass;
                previous = combiningClass;
            }

            if (!isSorted)
                SortRun(values[start..end], data);
            start = end;
        }
    }

    private static void SortRun(Span<int> run, NormalizationData data)
    {
        long[] keys = new long[run.Length];
        for (int i = 0; i < run.Length; i++)
            keys[i] = (long)data.CombiningClass(run[i]) << 32 | (uint)i;
        keys.AsSpan().Sort(run);
    }

    private static void Compose(List<int> codePoints, NormalizationData data)
    {
        Span<int> values = CollectionsMarshal.AsSpan(codePoints);
        int starter = -1;
        int count = 0;

        // Combining class of what stands between the starter and here, -1 for nothing.
        int lastClass = -1;
        for (int i = 0; i < values.Length; i++)
        {
            int value = values[i];
            int combiningClass = data.CombiningClass(value);
            if (starter >= 0 && lastClass < combiningClass && TryCompose(values[starter], value, data, out int composite))
            {
                values[starter] = composite;
                continue;
            }

            if (combiningClass == 0)
            {
                starter = count;
                lastClass = -1;
            }
            else
            {
                lastClass = combiningClass;
            }

            values[count++] = value;
        }

        codePoints.RemoveRange(count, codePoints.Count - count);
    }

    private static bool TryCompose(int first, int second, NormalizationData data, out int composite)
    {
        int leading = first - LeadingBase;
        int vowel = second - VowelBase;
        if ((uint)leading < NumLeading && (uint)vowel < NumVowels)
        {
            composite = SyllableBase + (leading * NumVowels + vowel) * NumTrailing;
            return true;
        }

        int syllable = first - SyllableBase;
        int trailing = second - TrailingBase;
        if ((uint)syllable < NumSyllables && syllable % NumTrailing == 0 && trailing is > 0 and < NumTrailing)
        {
            composite = first + trailing;
            return true;
        }

        return data.TryCompose(first, second, out composite);
    }

    private static string ToText(List<int> codePoints)
    {
        StringBuilder text = new(codePoints.Count);
        Span<char> units = stackalloc char[2];
        foreach (int value in codePoints)
            text.Append(units[..new Rune(value).EncodeToUtf16(units)]);
        return text.ToString();
    }
}
