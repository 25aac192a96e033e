namespace Hydragen.Text.Normalizers;

/// <summary>Applies steps one after another.</summary>
internal sealed class SequenceNormalizer(Normalizer[] steps) : Normalizer
{
    public override string Apply(string text)
    {
        foreach (Normalizer step in steps)
            text = step.Apply(text);
        return text;
    }
}
