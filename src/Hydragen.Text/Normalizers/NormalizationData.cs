using System.Globalization;
using System.Runtime.InteropServices;

namespace Hydragen.Text.Normalizers;

/// <summary>The Unicode tables behind normalization, read once from the embedded file.</summary>
/// <remarks>
/// The runtime's own normalization does nothing in invariant globalization mode, and its Unicode version is the operating
/// system's: ids must depend on neither.
/// </remarks>
internal sealed class NormalizationData
{
    private static readonly Lazy<NormalizationData> Instance = new(() => new NormalizationData());

    private readonly Dictionary<int, byte> _combiningClasses = [];
    private readonly Dictionary<int, int[]> _canonical = [];
    private readonly Dictionary<int, int[]> _compatible = [];
    private readonly Dictionary<(int First, int Second), int> _compositions = [];

    // One bit a BMP character and property, so that most characters need no dictionary.
    private readonly Traits[] _traits = new Traits[0x10000];

    private NormalizationData()
    {
        using Stream stream = typeof(NormalizationData).Assembly.GetManifestResourceStream("NormalizationData.txt")
            ?? throw new InvalidOperationException("The embedded Unicode tables are missing.");
        using StreamReader reader = new(stream);
        for (string? line = reader.ReadLine(); line is not null; line = reader.ReadLine())
        {
            if (line[0] != '#')
                ReadLine(line);
        }

        Expand(_canonical, _canonical);
        foreach ((int value, int[] parts) in _canonical)
            _compatible.TryAdd(value, parts);
        Expand(_compatible, _compatible);
    }

    [Flags]
    private enum Traits : byte
    {
        None = 0,
        HasClass = 1,
        Decomposes = 2,
        DecomposesCompatibly = 4,
        ComposesBackward = 8,
    }

    public static NormalizationData Shared => Instance.Value;

    public byte CombiningClass(int value) =>
        Has(value, Traits.HasClass) && _combiningClasses.TryGetValue(value, out byte combiningClass) ? combiningClass : (byte)0;

    /// <summary>The full decomposition of a character, or nothing if it has none; Hangul syllables are not covered.</summary>
    public ReadOnlySpan<int> Decomposition(int value, bool compatible)
    {
        if (!Has(value, compatible ? Traits.Decomposes | Traits.DecomposesCompatibly : Traits.Decomposes))
            return [];
        return (compatible ? _compatible : _canonical).TryGetValue(value, out int[]? parts) ? parts : [];
    }

    /// <summary>The character that two characters compose to; Hangul is not covered.</summary>
    public bool TryCompose(int first, int second, out int composite)
    {
        composite = 0;
        return Has(second, Traits.ComposesBackward) && _compositions.TryGetValue((first, second), out composite);
    }

    /// <summary>Whether a UTF-16 unit alone leaves the text as it is, in every normalization form.</summary>
    /// <remarks>Surrogates, Hangul syllables and combining Hangul letters never do.</remarks>
    public bool IsInert(char c) =>
        _traits[c] == Traits.None && c is not (>= '\uAC00' and <= '\uDFFF' or >= '\u1160' and <= '\u11FF');

    private bool Has(int value, Traits traits) => value > 0xFFFF || (_traits[value] & traits) != 0;

    private void Mark(int value, Traits traits)
    {
        if (value <= 0xFFFF)
            _traits[value] |= traits;
    }

    private void ReadLine(string line)
    {
        string[] fields = line.Split(' ');
        int value = Hex(fields[1]);
        if (fields[0] == "C")
        {
            byte combiningClass = byte.Parse(fields[3], CultureInfo.InvariantCulture);
            for (int last = Hex(fields[2]); value <= last; value++)
            {
                _combiningClasses.Add(value, combiningClass);
                Mark(value, Traits.HasClass);
            }

            return;
        }

        int[] parts = new int[fields.Length - 2];
        for (int i = 0; i < parts.Length; i++)
            parts[i] = Hex(fields[i + 2]);
        bool isCompatible = fields[0] == "K";
        (isCompatible ? _compatible : _canonical).Add(value, parts);
        Mark(value, isCompatible ? Traits.DecomposesCompatibly : Traits.Decomposes);
        if (fields[0] == "P")
        {
            _compositions.Add((parts[0], parts[1]), value);
            Mark(parts[1], Traits.ComposesBackward);
        }
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);

    /// <summary>Replaces each decomposition by its full depth.</summary>
    private static void Expand(Dictionary<int, int[]> table, Dictionary<int, int[]> steps)
    {
        foreach (int value in table.Keys.ToArray())
        {
            List<int> parts = [.. table[value]];
            for (int i = 0; i < parts.Count;)
            {
                if (steps.TryGetValue(parts[i], out int[]? deeper))
                {
                    parts.RemoveAt(i);
                    parts.InsertRange(i, deeper);
                }
                else
                {
                    i++;
                }
            }

            table[value] = [.. CollectionsMarshal.AsSpan(parts)];
        }
    }
}
