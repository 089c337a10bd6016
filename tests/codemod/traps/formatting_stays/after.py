import torch   # two spaces too many
import porting_accel as accel


x = torch.ones( 2 ,
                2 ).to(accel.type )   # odd, and none of our business
device = ( accel.type   # here
           if accel . is_available()
           else "cpu" )
é = torch.zeros(1).to(accel.type); ü = accel.is_on(é)
