namespace Hydragen.Text.Normalizers;

/// <summary>Leads every text that is not empty with a fixed text.</summary>
internal sealed class PrependNormalizer(string prefix) : Normalizer
{
    public override string Apply(string text) => text.Length > 0 ? prefix + text : text;
}
