namespace Hydragen.Text.Decoders;

/// <summary>The description of a decoding step, which starts running stages. Immutable.</summary>
internal abstract class Decoder
{
    /// <summary>Starts a stage that passes its results to <paramref name="next"/>.</summary>
    public abstract DecodeStage Start(DecodeStage next);
}
