namespace Hydragen.Text.Normalizers;

/// <summary>Removes white space from the ends.</summary>
internal sealed class StripNormalizer(bool stripsLeft, bool stripsRight) : Normalizer
{
    public override string Apply(string text) => (stripsLeft, stripsRight) switch
    {
        (true, true) => text.Trim(),
        (true, false) => text.TrimStart(),
        (false, true) => text.TrimEnd(),
        _ => text,
    };
}
