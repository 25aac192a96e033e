namespace Hydragen.Text.Decoders;

/// <summary>Applies steps one after another.</summary>
internal sealed class SequenceDecoder(Decoder[] steps) : Decoder
{
    public override DecodeStage Start(DecodeStage next)
    {
        for (int i = steps.Length - 1; i >= 0; i--)
            next = steps[i].Start(next);
        return next;
    }
}
