namespace Hydragen.Text.Normalizers;

/// <summary>Applies steps one after another.</summary>
internal sealed class SequenceNormalizer(Normalizer[] steps) : Normalizer
{
    public override long Growth
    {
        get
        {
            // Saturates: a file may nest what it likes.
            double growth = 1;
            foreach (Normalizer step in steps)
                growth *= step.Growth;
            return (long)Math.Min(growth, long.MaxValue / 2);
        }
    }

    public override string Apply(string text)
    {
        foreach (Normalizer step in steps)
            text = step.Apply(text);
        return text;
    }
}
