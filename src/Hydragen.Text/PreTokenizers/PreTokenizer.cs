namespace Hydragen.Text.PreTokenizers;

/// <summary>One step from a text to the pieces that the model encodes. Immutable.</summary>
internal abstract class PreTokenizer
{
    public abstract void Apply(PieceBuffer buffer);
}
